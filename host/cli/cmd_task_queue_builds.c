/* task-queue get-build-ids and update-build-ids: sets of compatible builds, the versioning of workers before worker
 * deployments. */
#include "cli/connect.h"
#include "proto/pb.h"
#include "tl_enums.h"

int tl_cmd_task_queue_get_build_ids(struct tl_cli *cli);
int tl_cmd_task_queue_build_ids_add_default(struct tl_cli *cli);
int tl_cmd_task_queue_build_ids_add_compatible(struct tl_cli *cli);
int tl_cmd_task_queue_build_ids_promote_set(struct tl_cli *cli);
int tl_cmd_task_queue_build_ids_promote_in_set(struct tl_cli *cli);

typedef TpWs__UpdateWorkerBuildIdCompatibilityRequest update_request;

static int run_get(struct tl_cli_session *s)
{
    TpWs__GetWorkerBuildIdCompatibilityRequest r =
        TP_WS__GET_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__INIT;
    TpWs__GetWorkerBuildIdCompatibilityResponse *resp;
    struct tl_client_error err;
    static const struct tl_print_column columns[] = {
        {"BuildIds", 0, false}, {"DefaultForSet", 0, false}, {"IsDefaultSet", 0, false}};
    r.task_queue = tl_cli_field(s, "task-queue");
    r.max_sets = (int32_t)tl_cli_integer(s->cli, "max-sets");
    if (tl_cli_call(s, TL_M_GetWorkerBuildIdCompatibility, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("unable to get the build IDs of the task queue", &err);
    }
    if (tl_print_is_json(&s->print)) {
        return tl_cli_printed(tl_print_message(&s->print, resp, &err.error), &err.error);
    }
    size_t n = resp->n_major_version_sets;
    const char **cells = TL_ARENA_ARRAY(&s->arena, const char *, n * 3 + 1);
    for (size_t i = 0; cells && i < n; i++) {
        const TpTq__CompatibleVersionSet *set = resp->major_version_sets[i];
        struct tl_buf b;
        tl_buf_init(&b, 1 << 20);
        for (size_t k = 0; k < set->n_build_ids; k++) {
            tl_buf_printf(&b, "%s%s", k ? ", " : "", set->build_ids[k]);
        }
        cells[3 * i] = tl_arena_cstr(&s->arena, tl_buf_str(&b));
        cells[3 * i + 1] = set->n_build_ids ? set->build_ids[set->n_build_ids - 1] : "";
        cells[3 * i + 2] = i + 1 == n ? "true" : "false";
        tl_buf_deinit(&b);
    }
    if (cells) {
        tl_print_table(&s->print, columns, 3, cells, n, true, 1);
    }
    return 0;
}

static int update(struct tl_cli_session *s, update_request *r)
{
    TpWs__UpdateWorkerBuildIdCompatibilityResponse *resp;
    struct tl_client_error err;
    r->task_queue = tl_cli_field(s, "task-queue");
    if (tl_cli_call(s, TL_M_UpdateWorkerBuildIdCompatibility, r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("unable to update the build IDs of the task queue", &err);
    }
    tl_print_line(&s->print, "Successfully updated task queue build IDs");
    return 0;
}

static int run_add_default(struct tl_cli_session *s)
{
    update_request r = TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__INIT;
    r.operation_case =
        TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__OPERATION_ADD_NEW_BUILD_ID_IN_NEW_DEFAULT_SET;
    r.add_new_build_id_in_new_default_set = tl_cli_field(s, "build-id");
    return update(s, &r);
}

static int run_add_compatible(struct tl_cli_session *s)
{
    update_request r = TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__INIT;
    TpWs__UpdateWorkerBuildIdCompatibilityRequest__AddNewCompatibleVersion add =
        TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__ADD_NEW_COMPATIBLE_VERSION__INIT;
    r.operation_case =
        TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__OPERATION_ADD_NEW_COMPATIBLE_BUILD_ID;
    add.new_build_id = tl_cli_field(s, "build-id");
    add.existing_compatible_build_id = tl_cli_field(s, "existing-compatible-build-id");
    add.make_set_default = tl_cli_flag(s->cli, "set-as-default");
    r.add_new_compatible_build_id = &add;
    return update(s, &r);
}

static int run_promote_set(struct tl_cli_session *s)
{
    update_request r = TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__INIT;
    r.operation_case =
        TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__OPERATION_PROMOTE_SET_BY_BUILD_ID;
    r.promote_set_by_build_id = tl_cli_field(s, "build-id");
    return update(s, &r);
}

static int run_promote_in_set(struct tl_cli_session *s)
{
    update_request r = TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__INIT;
    r.operation_case =
        TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__OPERATION_PROMOTE_BUILD_ID_WITHIN_SET;
    r.promote_build_id_within_set = tl_cli_field(s, "build-id");
    return update(s, &r);
}

int tl_cmd_task_queue_get_build_ids(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_get);
}

int tl_cmd_task_queue_build_ids_add_default(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_add_default);
}

int tl_cmd_task_queue_build_ids_add_compatible(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_add_compatible);
}

int tl_cmd_task_queue_build_ids_promote_set(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_promote_set);
}

int tl_cmd_task_queue_build_ids_promote_in_set(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_promote_in_set);
}
