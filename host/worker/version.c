/* Build ID and deployment in requests. A worker of a deployment says which; any other says its build in the older
 * fields, and there whether it is versioned: as a build of its task queue's sets. */
#include "tl_enums.h"
#include "worker/build.h"

void tl_version_poll(struct tl_build *b, TpDeployment__WorkerDeploymentOptions **deployment,
                     TpCommon__WorkerVersionCapabilities **caps,
                     TpCommon__WorkerVersionCapabilities *room)
{
    if (tl_worker_deploys(b->worker)) {
        *deployment = &b->deployment;
    } else {
        tp_common__worker_version_capabilities__init(room);
        room->build_id = b->id;
        room->use_versioning = b->worker->opt.use_worker_versioning;
        *caps = room;
    }
}

static int behavior_number(struct tl_str text)
{
    if (tl_str_eqc(text, "pinned")) {
        return VERSIONING_BEHAVIOR_PINNED;
    }
    return tl_str_eqc(text, "auto_upgrade") ? VERSIONING_BEHAVIOR_AUTO_UPGRADE
                                            : VERSIONING_BEHAVIOR_UNSPECIFIED;
}

void tl_version_completed(struct tl_build *b, TpWs__RespondWorkflowTaskCompletedRequest *req,
                          struct tl_str behavior)
{
    req->worker_control_task_queue = tl_commands_queue(b->worker);
    if (tl_worker_deploys(b->worker)) {
        req->deployment_options = &b->deployment;
        req->versioning_behavior = (TpEnums__VersioningBehavior)behavior_number(
            behavior.n ? behavior : b->worker->opt.default_versioning_behavior);
    } else {
        req->worker_version_stamp = &b->stamp;
        req->binary_checksum = b->id;
    }
}

void tl_version_failed(struct tl_build *b, TpWs__RespondWorkflowTaskFailedRequest *req)
{
    if (tl_worker_deploys(b->worker)) {
        req->deployment_options = &b->deployment;
    } else {
        req->worker_version = &b->stamp;
        req->binary_checksum = b->id;
    }
}
