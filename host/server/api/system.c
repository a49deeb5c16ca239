/* What the server says of itself, and the clock of tests. Thread: engine. */
#include <temporal/api/operatorservice/v1/request_response.pb-c.h>
#include <temporal/api/testservice/v1/request_response.pb-c.h>

#include "server/api/api.h"

/* The server whose behaviour we follow; SDKs compare it with what they need. */
#define SERVER_VERSION "1.32.0"
#define CLUSTER_ID "temporal-lua"
#define INITIAL_FAILOVER_VERSION 1

void tl_api_get_system_info(struct tl_call *c)
{
    TpWs__GetSystemInfoResponse r = TP_WS__GET_SYSTEM_INFO_RESPONSE__INIT;
    TpWs__GetSystemInfoResponse__Capabilities caps =
        TP_WS__GET_SYSTEM_INFO_RESPONSE__CAPABILITIES__INIT;
    caps.signal_and_query_header = true;
    caps.internal_error_differentiation = true;
    caps.activity_failure_include_heartbeat = true;
    caps.encoded_failure_attributes = true;
    caps.upsert_memo = true;
    caps.sdk_metadata = true;
    caps.eager_workflow_start = true;
    caps.count_group_by_execution_status = true;
    caps.nexus = true;
    caps.build_id_based_versioning = c->s->o.version_sets_workers != 0;
    r.server_version = tl_pb_text(SERVER_VERSION);
    r.capabilities = &caps;
    tl_call_reply(c, 0, &r);
}

void tl_api_get_cluster_info(struct tl_call *c)
{
    TpWs__GetClusterInfoResponse r = TP_WS__GET_CLUSTER_INFO_RESPONSE__INIT;
    r.server_version = tl_pb_text(SERVER_VERSION);
    r.cluster_id = tl_pb_text(CLUSTER_ID);
    r.cluster_name = tl_pb_text(TL_CLUSTER_NAME);
    r.history_shard_count = 1;
    r.persistence_store = tl_pb_text("sqlite");
    r.visibility_store = tl_pb_text("sqlite");
    r.initial_failover_version = INITIAL_FAILOVER_VERSION;
    r.failover_version_increment = 10;
    tl_call_reply(c, 0, &r);
}

/* This server alone: it does not know under which address it is reached. */
void tl_api_list_clusters(struct tl_call *c)
{
    TpOs__ListClustersResponse r = TP_OS__LIST_CLUSTERS_RESPONSE__INIT;
    TpOs__ClusterMetadata cluster = TP_OS__CLUSTER_METADATA__INIT;
    TpOs__ClusterMetadata *list[] = {&cluster};
    cluster.cluster_name = tl_pb_text(TL_CLUSTER_NAME);
    cluster.cluster_id = tl_pb_text(CLUSTER_ID);
    cluster.initial_failover_version = INITIAL_FAILOVER_VERSION;
    cluster.history_shard_count = 1;
    cluster.is_connection_enabled = true;
    r.n_clusters = 1;
    r.clusters = list;
    tl_call_reply(c, 0, &r);
}

void tl_api_remove_remote_cluster(struct tl_call *c)
{
    const TpOs__RemoveRemoteClusterRequest *req = c->req;
    tl_call_not_found(c, 0,
                      tl_arena_printf(c->arena,
                                      "there is no remote cluster \"%s\": this server "
                                      "replicates to none",
                                      req->cluster_name));
}

/* --- TestService ----------------------------------------------------------------------------------------- */

static bool skips(struct tl_call *c)
{
    if (!c->s->o.time_skipping) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EUNIMPLEMENTED), "this server does not skip time");
    }
    return c->s->o.time_skipping;
}

void tl_api_lock_time_skipping(struct tl_call *c)
{
    TpTs__LockTimeSkippingResponse r = TP_TS__LOCK_TIME_SKIPPING_RESPONSE__INIT;
    if (skips(c)) {
        tl_server_lock_time_skipping(c->s);
        tl_call_reply(c, 0, &r);
    }
}

void tl_api_unlock_time_skipping(struct tl_call *c)
{
    TpTs__UnlockTimeSkippingResponse r = TP_TS__UNLOCK_TIME_SKIPPING_RESPONSE__INIT;
    if (!skips(c)) {
        return;
    }
    if (atomic_load(&c->s->skip_locks) <= 0) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EPRECONDITION), "time skipping is not locked");
        return;
    }
    tl_server_unlock_time_skipping(c->s);
    tl_call_reply(c, 0, &r);
}

void tl_api_get_current_time(struct tl_call *c)
{
    TpTs__GetCurrentTimeResponse r = TP_TS__GET_CURRENT_TIME_RESPONSE__INIT;
    r.time = tl_pb_timestamp(c->arena, tl_engine_now(c->s));
    tl_call_reply(c, 0, &r);
}

/* Parks the call until the server's clock shows at_ns; with `relock`, unlocked meanwhile. */
static void sleep_until(struct tl_call *c, int64_t at_ns, bool relock)
{
    TpTs__SleepResponse r = TP_TS__SLEEP_RESPONSE__INIT;
    if (c->parked) {
        if (c->parked->relock) {
            tl_server_lock_time_skipping(c->s);
        }
        tl_call_reply(c, 0, &r); /* all three answers are empty */
        return;
    }
    struct tl_parked *p = tl_parked_new(c->s, c, TL_PARKED_SLEEP);
    p->relock = relock;
    if (relock) {
        tl_server_unlock_time_skipping(c->s);
    }
    tl_due_set(&c->s->timers, &p->due, at_ns);
}

void tl_api_sleep(struct tl_call *c)
{
    const TpTs__SleepRequest *req = c->req;
    if (skips(c)) {
        sleep_until(c, tl_engine_now(c->s) + tl_pb_duration_ns_or(req->duration, 0), false);
    }
}

void tl_api_sleep_until(struct tl_call *c)
{
    const TpTs__SleepUntilRequest *req = c->req;
    if (skips(c)) {
        sleep_until(c, tl_pb_timestamp_ns_or(req->timestamp, tl_engine_now(c->s)), false);
    }
}

void tl_api_unlock_time_skipping_with_sleep(struct tl_call *c)
{
    const TpTs__SleepRequest *req = c->req;
    if (!skips(c)) {
        return;
    }
    if (!c->parked && atomic_load(&c->s->skip_locks) <= 0) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EPRECONDITION), "time skipping is not locked");
        return;
    }
    sleep_until(c, tl_engine_now(c->s) + tl_pb_duration_ns_or(req->duration, 0), true);
}
