/* Build ID and deployment in requests. Servers from before worker deployments know a build only by
 * the deprecated fields, so both are sent. */
#include "tl_enums.h"
#include "worker/worker_int.h"

void tl_version_init(struct tl_worker *w)
{
    tp_deployment__worker_deployment_options__init(&w->deployment);
    w->deployment.deployment_name = w->deployment_name;
    w->deployment.build_id = w->build_id;
    w->deployment.worker_versioning_mode =
        (TpEnums__WorkerVersioningMode)(w->opt.use_worker_versioning
                                            ? WORKER_VERSIONING_MODE_VERSIONED
                                            : WORKER_VERSIONING_MODE_UNVERSIONED);
    tp_common__worker_version_stamp__init(&w->stamp);
    w->stamp.build_id = w->build_id;
}

static void capabilities(struct tl_worker *w, TpCommon__WorkerVersionCapabilities *caps)
{
    tp_common__worker_version_capabilities__init(caps);
    caps->build_id = w->build_id;
}

void tl_version_poll_workflow(struct tl_worker *w, TpWs__PollWorkflowTaskQueueRequest *req,
                              TpCommon__WorkerVersionCapabilities *caps)
{
    if (w->opt.use_worker_versioning) {
        req->deployment_options = &w->deployment;
    } else {
        capabilities(w, caps);
        req->worker_version_capabilities = caps;
        req->binary_checksum = w->build_id;
    }
}

void tl_version_poll_activity(struct tl_worker *w, TpWs__PollActivityTaskQueueRequest *req,
                              TpCommon__WorkerVersionCapabilities *caps)
{
    if (w->opt.use_worker_versioning) {
        req->deployment_options = &w->deployment;
    } else {
        capabilities(w, caps);
        req->worker_version_capabilities = caps;
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

void tl_version_completed(struct tl_worker *w, TpWs__RespondWorkflowTaskCompletedRequest *req,
                          struct tl_str behavior)
{
    if (w->opt.use_worker_versioning) {
        req->deployment_options = &w->deployment;
        req->versioning_behavior = (TpEnums__VersioningBehavior)behavior_number(
            behavior.n ? behavior : w->opt.default_versioning_behavior);
    } else {
        req->worker_version_stamp = &w->stamp;
        req->binary_checksum = w->build_id;
    }
}

void tl_version_failed(struct tl_worker *w, TpWs__RespondWorkflowTaskFailedRequest *req)
{
    if (w->opt.use_worker_versioning) {
        req->deployment_options = &w->deployment;
    } else {
        req->worker_version = &w->stamp;
        req->binary_checksum = w->build_id;
    }
}
