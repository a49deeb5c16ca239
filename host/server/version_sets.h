/* Sets of compatible builds of a task queue's workers: the older versioning by build IDs, which operators of such
 * workers keep until they move to worker deployments. Tasks of a run go to the set of the build that it ran
 * on last, those of new runs to the queue's default set; in a set only the newest build gets tasks.
 *
 * A set's tasks are a queue of their own in matching, whose version is ":" and the set's first build ID; the
 * version of a build that no set knows is ":" and its ID. (No deployment has an empty name.)
 *
 * All are in memory, one row of the meta table for each task queue. Thread: engine. */
#pragma once

#include "server/engine.h"

void tl_version_sets_init(struct tl_server *s);
void tl_version_sets_free(struct tl_server *s);
/* Forgets what is there and reads it again. */
tl_rc tl_version_sets_load(struct tl_server *s, struct tl_error *err) TL_MUST_USE;

/* NULL: the queue has none. *seq: commit that holds the newest change. */
const TlV1__VersionSets *tl_version_sets_of(struct tl_server *s, const struct tl_namespace *ns,
                                            struct tl_str queue, uint64_t *seq);
/* Carries out an operation in the open commit, then offers again what waits.
 * Errors: TL_EINVAL, TL_ENOTFOUND, TL_EPRECONDITION (too many), TL_ELIMIT. */
tl_rc tl_version_sets_update(struct tl_server *s, struct tl_namespace *ns,
                             const TpWs__UpdateWorkerBuildIdCompatibilityRequest *req,
                             struct tl_arena *arena, struct tl_error *err) TL_MUST_USE;

/* Whether the version is a set's. */
static inline bool tl_version_is_set(struct tl_str version)
{
    return version.n > 0 && version.p[0] == ':';
}
/* ":" and the build ID in the arena; empty for an empty one. */
struct tl_str tl_version_of_build(struct tl_arena *arena, const char *build_id);
/* The version for tasks that belong to `build` (as tl_version_of_build has it); for an empty one that of the
 * queue's default set, empty when there are no sets. Borrowed from the set, or `build` itself. */
struct tl_str tl_version_sets_route(struct tl_server *s, const struct tl_namespace *ns,
                                    struct tl_str queue, struct tl_str build);
/* The build that gets the tasks of the set of `build`; empty when that is `build` itself, or unknown. */
struct tl_str tl_version_sets_newer(struct tl_server *s, const struct tl_namespace *ns,
                                    struct tl_str queue, struct tl_str build);
