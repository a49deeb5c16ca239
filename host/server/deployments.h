/* Worker deployments: the table of them, what is stored, and where their routing sends a task.
 * A version is the text "deployment:build", as in history.h; empty is "no version".
 * Everything is in memory; a change writes the whole record of its deployment into the open commit.
 * Thread: engine. */
#pragma once

#include <temporal_lua/v1/deployment.pb-c.h>

#include "server/engine.h"

/* The build ID of a version that is "no version", in the fields of older clients. */
#define TL_UNVERSIONED "__unversioned__"

typedef TpDeployment__WorkerDeploymentVersionInfo tl_version_info;

struct tl_deployment {
    struct tl_namespace *ns;
    struct tl_arena arena; /* of d; a change allocates here until it is saved */
    TlV1__DeploymentRecord *d;
    struct tl_str bytes; /* heap: d as it is stored */
    uint64_t seq;        /* commit that holds its newest write */
    bool fresh;          /* nothing of it is stored yet */
};

tl_rc tl_deployments_load(struct tl_server *s, struct tl_error *err) TL_MUST_USE;
void tl_deployments_init(struct tl_server *s);
void tl_deployments_free(struct tl_server *s);

/* NULL when there is none. */
struct tl_deployment *tl_deployment_find(struct tl_server *s, const struct tl_namespace *ns,
                                         struct tl_str name);
/* A new, empty one; stored by tl_deployment_save. NULL without memory. */
struct tl_deployment *tl_deployment_make(struct tl_server *s, struct tl_namespace *ns,
                                         struct tl_str name, const char *identity);
/* Its version with this build id, NULL when it has none. */
tl_version_info *tl_deployment_version(const struct tl_deployment *dep, struct tl_str build_id);
/* Adds one, INACTIVE. Errors: TL_ELIMIT (too many versions, none of which
 * can be given up). */
tl_rc tl_deployment_add_version(struct tl_server *s, struct tl_deployment *dep,
                                struct tl_str build_id, const char *identity, tl_version_info **out,
                                struct tl_error *err) TL_MUST_USE;
void tl_deployment_drop_version(struct tl_deployment *dep, const tl_version_info *v);
/* Whether workers of the version polled the queue. */
bool tl_version_has_queue(const tl_version_info *v, struct tl_str queue, int type);
/* Statuses and times of its versions follow its routing. */
void tl_deployment_settle(struct tl_server *s, struct tl_deployment *dep);
/* Puts what changed into the open commit. `client`: the conflict token changes. On failure the
 * deployment is as it was. Errors: TL_ELIMIT. */
tl_rc tl_deployment_save(struct tl_server *s, struct tl_deployment *dep, bool client,
                         struct tl_error *err) TL_MUST_USE;
/* As it was before the change that is not saved. */
void tl_deployment_revert(struct tl_server *s, struct tl_deployment *dep);
void tl_deployment_delete(struct tl_server *s, struct tl_deployment *dep);
/* In order of names; fn must not add or delete. */
void tl_deployments_each(struct tl_server *s, const struct tl_namespace *ns,
                         void (*fn)(void *ud, struct tl_deployment *dep), void *ud);
/* Looks again, when it is time, whether pinned runs are left on versions that drain. Nobody can see
 * the status but by asking, so it is looked at then. */
void tl_drainage_refresh(struct tl_server *s, struct tl_deployment *dep);
/* Errors: TL_EINVAL. */
tl_rc tl_deployment_check_name(const char *name, struct tl_error *err) TL_MUST_USE;
tl_rc tl_deployment_check_build_id(const char *build_id, struct tl_error *err) TL_MUST_USE;
/* Whether somebody has polled for the version lately. */
bool tl_version_polled(struct tl_server *s, const struct tl_deployment *dep,
                       const tl_version_info *v);

/* --- routing -------------------------------------------------------------------------------------- */

/* Where a task queue's tasks go. Texts live until the next change of a deployment. */
struct tl_route {
    struct tl_str current, ramping; /* empty: unversioned */
    bool has_current, has_ramping;
    float percentage;
    int64_t changed_ns;
};
const struct tl_route *tl_route_of_queue(struct tl_server *s, const struct tl_namespace *ns,
                                         struct tl_str queue, int type);
/* The version for the run's workflow tasks, and for an activity on a queue, now; with_run: the activity is for
 * workers of the run's build, where the queue has sets of builds (version_sets.h). */
struct tl_str tl_route_workflow(struct tl_server *s, struct tl_exec *e, struct tl_str queue);
struct tl_str tl_route_activity(struct tl_server *s, struct tl_exec *e, struct tl_str queue,
                                bool with_run);
/* Whether workers of the version have polled the queue. */
bool tl_version_serves(struct tl_server *s, const struct tl_namespace *ns, struct tl_str version,
                       struct tl_str queue, int type);
/* A versioned poll came: its deployment, version and queue exist from now on.
 * Errors: TL_EINVAL (the names), TL_ELIMIT. */
tl_rc tl_deployments_polled(struct tl_server *s, struct tl_namespace *ns,
                            const TpDeployment__WorkerDeploymentOptions *o, struct tl_str queue,
                            int type, const char *identity, struct tl_arena *arena,
                            struct tl_error *err) TL_MUST_USE;
/* The routing of a namespace changed: what waits in its queues is offered where it belongs now. */
void tl_deployments_reroute(struct tl_server *s, const struct tl_namespace *ns,
                            struct tl_arena *arena);
