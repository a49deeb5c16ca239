/* Native modules: shared objects that register C functions (include/temporal_lua.h), and the host
 * API they are given. The public struct tlua_activity lives on the stack of the activity thread. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/world.h"
#include "include/temporal_lua.h"
#include "proto/payload.h"
#include "proto/pb.h"
#include "proto/utf8.h"
#include "worker/native.h"
#include "worker/native_operation.h"
#include "worker/registry_int.h"

enum { TARGET_COUNT = 4 };
enum native_end { END_RESULT, END_FAIL, END_CANCEL, END_ASYNC };

struct tlua_activity {
    struct tl_activity *a;
    tlua_activity_info info;
    struct tl_pb_list values[TARGET_COUNT];
    enum native_end end;
    bool listens; /* has asked to be called on cancellation */
    TpFailure__Failure *failure;
};

/* One loaded object, while its registry lives. */
struct native_module {
    struct tl_registry_module base;
    void *handle;
    void (*on_unload)(void *ud);
    void *on_unload_ud;
};

/* One registered function. */
struct native_fn {
    struct tl_registry_module base;
    tlua_activity_fn fn;
    void *ud;
};

/* What the module sees while it registers. */
struct tlua_module {
    struct tl_registry *registry;
    struct native_module *module;
    char error[400];
};

/* --- Values ------------------------------------------------------------------------------------ */

static tlua_bytes bytes_of(struct tl_str s)
{
    return (tlua_bytes){s.p ? s.p : "", s.n};
}

static tlua_bytes text_of(const char *s)
{
    return bytes_of(tl_str(s ? s : ""));
}

void tl_native_view(const TpCommon__Payload *p, tlua_payload *out)
{
    const TpCommon__Payload__MetadataEntry *e = TL_PB_MAP_GET(
        TpCommon__Payload__MetadataEntry, p->n_metadata, p->metadata, TL_STR_LIT("encoding"));
    out->encoding = e ? bytes_of(tl_pb_str(e->value)) : bytes_of(TL_STR_LIT(""));
    out->data = bytes_of(tl_pb_str(p->data));
}

TpCommon__Payload *tl_native_payload(struct tl_arena *arena, struct tl_str encoding,
                                     struct tl_str data)
{
    bool ok = true;
    TpCommon__Payload *p = TL_PB_NEW(arena, TpCommon__Payload, tp_common__payload);
    TpCommon__Payload__MetadataEntry *e =
        TL_PB_NEW(arena, TpCommon__Payload__MetadataEntry, tp_common__payload__metadata_entry);
    TpCommon__Payload__MetadataEntry **list =
        TL_ARENA_ARRAY(arena, TpCommon__Payload__MetadataEntry *, 1);
    if (!p || !e || !list) {
        return NULL;
    }
    e->key = tl_pb_cstr(arena, TL_STR_LIT("encoding"));
    e->value = tl_pb_bytes(arena, encoding, &ok);
    p->data = tl_pb_bytes(arena, data, &ok);
    list[0] = e;
    p->n_metadata = 1;
    p->metadata = list;
    return ok && e->key ? p : NULL;
}

tl_rc tl_native_payloads(struct tl_arena *arena, const tlua_payload *values, size_t count,
                         TpCommon__Payloads **out)
{
    struct tl_pb_list list = {0};
    *out = NULL;
    for (size_t i = 0; i < count; i++) {
        TpCommon__Payload *p =
            tl_native_payload(arena, tl_str_n(values[i].encoding.data, values[i].encoding.size),
                              tl_str_n(values[i].data.data, values[i].data.size));
        if (!p || !tl_pb_push(arena, &list, p)) {
            return TL_ELIMIT;
        }
    }
    if (count) {
        *out = tl_payloads_new(arena, (TpCommon__Payload *const *)list.items, list.n);
    }
    return count && !*out ? TL_ELIMIT : TL_OK;
}

static TpCommon__Payloads *payloads_of(tlua_activity *x, int target)
{
    struct tl_pb_list *l = &x->values[target];
    if (!l->n) {
        return NULL;
    }
    TpCommon__Payloads *p = TL_PB_NEW(x->a->arena, TpCommon__Payloads, tp_common__payloads);
    if (p) {
        p->n_payloads = l->n;
        p->payloads = l->items;
    }
    *l = (struct tl_pb_list){0};
    return p;
}

/* --- Reading the task -------------------------------------------------------------------------- */

static const tlua_activity_info *api_info(tlua_activity *x)
{
    return &x->info;
}

static size_t count_of(const TpCommon__Payloads *p)
{
    return p ? p->n_payloads : 0;
}

static int value_of(const TpCommon__Payloads *p, size_t index, tlua_payload *out)
{
    if (index >= count_of(p)) {
        return TLUA_ENOTFOUND;
    }
    tl_native_view(p->payloads[index], out);
    return TLUA_OK;
}

static size_t api_input_count(tlua_activity *x)
{
    return count_of(x->a->task->input);
}

static int api_input(tlua_activity *x, size_t index, tlua_payload *out)
{
    return value_of(x->a->task->input, index, out);
}

static size_t api_heartbeat_details_count(tlua_activity *x)
{
    return count_of(x->a->task->heartbeat_details);
}

static int api_heartbeat_details(tlua_activity *x, size_t index, tlua_payload *out)
{
    return value_of(x->a->task->heartbeat_details, index, out);
}

/* --- Writing ----------------------------------------------------------------------------------- */

static int put(tlua_activity *x, int target, struct tl_str encoding, struct tl_str data)
{
    if (target < 0 || target >= TARGET_COUNT) {
        return TLUA_EINVAL;
    }
    TpCommon__Payload *p = tl_native_payload(x->a->arena, encoding, data);
    return p && tl_pb_push(x->a->arena, &x->values[target], p) ? TLUA_OK : TLUA_ELIMIT;
}

static int api_put_json(tlua_activity *x, int target, const char *json, size_t size)
{
    struct tl_str s = tl_str_n(json, size);
    if (!size || !tl_utf8_ok(s)) {
        return TLUA_EINVAL;
    }
    return put(x, target, TL_STR_LIT("json/plain"), s);
}

static int api_put_bytes(tlua_activity *x, int target, const void *data, size_t size)
{
    return put(x, target, TL_STR_LIT("binary/plain"), tl_str_n(data, size));
}

static int api_put_null(tlua_activity *x, int target)
{
    return put(x, target, TL_STR_LIT("binary/null"), (struct tl_str){0});
}

static int api_put_payload(tlua_activity *x, int target, const char *encoding, const void *data,
                           size_t size)
{
    if (!encoding || !*encoding) {
        return TLUA_EINVAL;
    }
    return put(x, target, tl_str(encoding), tl_str_n(data, size));
}

/* --- Heartbeat and cancellation ---------------------------------------------------------------- */

static int api_heartbeat(tlua_activity *x)
{
    return tl_activity_heartbeat(x->a, payloads_of(x, TLUA_HEARTBEAT), NULL);
}

static unsigned api_cancelled(tlua_activity *x)
{
    return tl_activity_cancel_reasons(x->a);
}

int64_t tl_native_deadline_ns(int64_t timeout_ms)
{
    int64_t now = tl_world_mono_ns(tl_world_real());
    int64_t most = (INT64_MAX - now) / TL_NS_PER_MS;
    int64_t wait = timeout_ms < 0 ? 0 : timeout_ms < most ? timeout_ms : most;
    return now + wait * TL_NS_PER_MS;
}

static unsigned api_wait_cancelled(tlua_activity *x, int64_t timeout_ms)
{
    return tl_activity_wait_cancelled(x->a, tl_native_deadline_ns(timeout_ms));
}

static int api_on_cancel(tlua_activity *x, void (*fn)(void *ud), void *ud)
{
    x->listens = fn != NULL;
    tl_activity_on_cancel(x->a, fn, ud);
    return TLUA_OK;
}

static bool api_worker_shutting_down(tlua_activity *x)
{
    return tl_activity_worker_shutting_down(x->a);
}

static bool api_wait_worker_shutdown(tlua_activity *x, int64_t timeout_ms)
{
    return tl_activity_wait_shutdown(x->a, tl_native_deadline_ns(timeout_ms));
}

/* --- Ends -------------------------------------------------------------------------------------- */

static int api_fail(tlua_activity *x, const tlua_failure *f)
{
    struct tl_arena *arena = x->a->arena;
    TpFailure__Failure *failure =
        tl_activity_failure(arena, tl_str(f->type ? f->type : ""),
                            tl_str(f->message ? f->message : ""), f->non_retryable);
    if (!failure) {
        return TLUA_ELIMIT;
    }
    failure->application_failure_info->details = payloads_of(x, TLUA_FAILURE_DETAILS);
    if (f->next_retry_delay_ms > 0) {
        failure->application_failure_info->next_retry_delay =
            tl_pb_duration_ms(arena, f->next_retry_delay_ms);
    }
    x->failure = failure;
    x->end = END_FAIL;
    return TLUA_OK;
}

static int api_cancel(tlua_activity *x)
{
    x->end = END_CANCEL;
    return TLUA_OK;
}

static int api_complete_async(tlua_activity *x, tlua_bytes *token)
{
    if (token) {
        *token = bytes_of(tl_pb_str(x->a->task->task_token));
    }
    x->end = END_ASYNC;
    return TLUA_OK;
}

enum tl_log_level tl_native_log_level(int level)
{
    static const enum tl_log_level levels[] = {TL_LOG_DEBUG, TL_LOG_DEBUG, TL_LOG_INFO, TL_LOG_WARN,
                                               TL_LOG_ERROR};
    return level < 0 || level > 4 ? TL_LOG_ERROR : levels[level];
}

static void api_log(tlua_activity *x, int level, const char *message)
{
    const TpWs__PollActivityTaskQueueResponse *t = x->a->task;
    TL_LOG(tl_native_log_level(level), "activity.message_logged",
           TL_C("message", message ? message : ""), TL_C("activity_type", t->activity_type->name),
           TL_C("activity_id", t->activity_id),
           TL_C("workflow_id", t->workflow_execution ? t->workflow_execution->workflow_id : ""),
           TL_I("attempt", t->attempt));
}

static int api_record_metric(tlua_activity *x, const tlua_metric *metric, double value,
                             const tlua_attribute *attributes, size_t count)
{
    const struct tl_label own[] = {
        {TL_STR_LIT("namespace"), x->a->namespace_name},
        {TL_STR_LIT("task_queue"), x->a->task_queue},
        {TL_STR_LIT("activity_type"), tl_str(x->a->task->activity_type->name)},
    };
    return tl_native_record(tl_activity_client(x->a), own, sizeof own / sizeof own[0], metric,
                            value, attributes, count);
}

static void fill_info(tlua_activity *x)
{
    const TpWs__PollActivityTaskQueueResponse *t = x->a->task;
    const TpCommon__WorkflowExecution *e = t->workflow_execution;
    x->info = (tlua_activity_info){
        .size = sizeof x->info,
        .activity_id = text_of(t->activity_id),
        .activity_type = text_of(t->activity_type->name),
        .workflow_id = text_of(e ? e->workflow_id : ""),
        .run_id = text_of(e ? e->run_id : ""),
        .workflow_type = text_of(t->workflow_type ? t->workflow_type->name : ""),
        .namespace_name = bytes_of(x->a->namespace_name),
        .task_queue = bytes_of(x->a->task_queue),
        .attempt = t->attempt,
        .scheduled_time_ns = tl_pb_timestamp_ns_or(t->scheduled_time, 0),
        .current_attempt_scheduled_time_ns =
            tl_pb_timestamp_ns_or(t->current_attempt_scheduled_time, 0),
        .started_time_ns = tl_pb_timestamp_ns_or(t->started_time, 0),
        .schedule_to_close_timeout_ms = tl_pb_duration_ms_or(t->schedule_to_close_timeout, 0),
        .start_to_close_timeout_ms = tl_pb_duration_ms_or(t->start_to_close_timeout, 0),
        .heartbeat_timeout_ms = tl_pb_duration_ms_or(t->heartbeat_timeout, 0),
        .activity_run_id = text_of(t->activity_run_id),
    };
}

static void run_native(void *thread_state, void *ud, struct tl_activity *a)
{
    struct native_fn *f = ud;
    tlua_activity x = {.a = a};
    (void)thread_state;
    fill_info(&x);
    f->fn(&x, f->ud);
    if (x.listens) {
        tl_activity_on_cancel(a, NULL, NULL); /* what it points to may be gone */
    }
    switch (x.end) {
    case END_RESULT:
        tl_activity_complete(a, payloads_of(&x, TLUA_RESULT));
        break;
    case END_FAIL:
        tl_activity_fail(a, x.failure);
        break;
    case END_CANCEL:
        tl_activity_end_canceled(a, payloads_of(&x, TLUA_CANCEL_DETAILS));
        break;
    case END_ASYNC:
        tl_activity_complete_async(a);
        break;
    }
}

/* --- Registration ------------------------------------------------------------------------------ */

static void release_fn(struct tl_registry_module *m)
{
    tl_mem_free(TL_CONTAINER(m, struct native_fn, base));
}

tl_rc tl_native_add(struct tl_registry *r, struct tl_str name, tlua_activity_fn fn, void *ud,
                    struct tl_error *err)
{
    if (!fn || !name.n) {
        return tl_error_set(err, TL_EINVAL, "an activity needs a name and a function");
    }
    struct native_fn *f = TL_NEW(struct native_fn);
    struct tl_activity_impl impl = {.run = run_native, .ud = f};
    f->base.release = release_fn;
    f->fn = fn;
    f->ud = ud;
    tl_rc rc = tl_registry_add(r, name, &impl, err);
    if (rc != TL_OK) {
        tl_mem_free(f);
        return rc;
    }
    tl_registry_adopt_module(r, &f->base);
    return TL_OK;
}

static int api_register_activity(tlua_module *m, const char *name, tlua_activity_fn fn, void *ud)
{
    struct tl_error err = {0};
    tl_rc rc = tl_native_add(m->registry, tl_str(name ? name : ""), fn, ud, &err);
    if (rc != TL_OK) {
        snprintf(m->error, sizeof m->error, "%.*s", (int)sizeof m->error - 1, err.message);
    }
    return rc;
}

static int api_register_operation(tlua_module *m, const char *service, const char *operation,
                                  const tlua_operation_handler *handler)
{
    struct tl_error err = {0};
    tl_rc rc = tl_native_add_operation(m->registry, tl_str(service ? service : ""),
                                       tl_str(operation ? operation : ""), handler, &err);
    if (rc != TL_OK) {
        snprintf(m->error, sizeof m->error, "%.*s", (int)sizeof m->error - 1, err.message);
    }
    return rc;
}

static int api_on_unload(tlua_module *m, void (*fn)(void *ud), void *ud)
{
    m->module->on_unload = fn;
    m->module->on_unload_ud = ud;
    return TLUA_OK;
}

static void api_set_error(tlua_module *m, const char *message)
{
    snprintf(m->error, sizeof m->error, "%s", message ? message : "");
}

static const tlua_host_api host_api = {
    .abi = TLUA_ABI_VERSION,
    .size = sizeof(tlua_host_api),
    .register_activity = api_register_activity,
    .on_unload = api_on_unload,
    .set_error = api_set_error,
    .info = api_info,
    .input_count = api_input_count,
    .input = api_input,
    .heartbeat_details_count = api_heartbeat_details_count,
    .heartbeat_details = api_heartbeat_details,
    .put_json = api_put_json,
    .put_bytes = api_put_bytes,
    .put_null = api_put_null,
    .put_payload = api_put_payload,
    .heartbeat = api_heartbeat,
    .cancelled = api_cancelled,
    .wait_cancelled = api_wait_cancelled,
    .fail = api_fail,
    .cancel = api_cancel,
    .complete_async = api_complete_async,
    .log = api_log,
    .on_cancel = api_on_cancel,
    .worker_shutting_down = api_worker_shutting_down,
    .wait_worker_shutdown = api_wait_worker_shutdown,
    .record_metric = api_record_metric,
    .register_operation = api_register_operation,
    .operation_info = tl_native_op_info,
    .operation_input = tl_native_op_input,
    .operation_header = tl_native_op_header,
    .operation_callback_header = tl_native_op_callback_header,
    .operation_link = tl_native_op_link,
    .operation_put = tl_native_op_put,
    .operation_started = tl_native_op_started,
    .operation_start_workflow = tl_native_op_start_workflow,
    .operation_fail = tl_native_op_fail,
    .operation_refuse = tl_native_op_refuse,
    .operation_add_link = tl_native_op_add_link,
    .operation_cancelled = tl_native_op_cancelled,
    .operation_wait_cancelled = tl_native_op_wait_cancelled,
    .operation_wait_worker_shutdown = tl_native_op_wait_worker_shutdown,
    .operation_log = tl_native_op_log,
    .operation_record_metric = tl_native_op_record_metric,
};

const struct tlua_host_api *tl_native_host_api(void)
{
    return &host_api;
}

/* --- Loading ----------------------------------------------------------------------------------- */

static void unload(struct tl_registry_module *base)
{
    struct native_module *m = TL_CONTAINER(base, struct native_module, base);
    if (m->on_unload) {
        m->on_unload(m->on_unload_ud);
    }
    dlclose(m->handle);
    tl_mem_free(m);
}

static tl_rc open_object(const char *path, void **handle, struct tl_error *err)
{
    if (!*path) {
        return tl_error_set(err, TL_EINVAL, "the path of a native module is empty");
    }
    if (strchr(path, '/') && access(path, R_OK) != 0) {
        int code = errno;
        return tl_error_set(err, code == ENOENT ? TL_ENOTFOUND : TL_EPERMISSION,
                            "native module '%s': %s", path, strerror(code));
    }
    *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!*handle) {
        const char *why = dlerror();
        bool missing = !strchr(path, '/') && why && strstr(why, "No such file") != NULL;
        return tl_error_set(err, missing ? TL_ENOTFOUND : TL_EINVAL,
                            "native module '%s' cannot be loaded: %s", path,
                            why ? why : "unknown cause");
    }
    return TL_OK;
}

static tl_rc register_all(struct tl_registry *r, struct native_module *m, const char *path,
                          struct tl_error *err)
{
    tlua_module_fn entry = NULL;
    void *symbol = dlsym(m->handle, TLUA_MODULE_SYMBOL);
    tlua_module view = {.registry = r, .module = m};
    if (!symbol) {
        return tl_error_set(
            err, TL_EINVAL,
            "native module '%s' exports no %s: it is no temporal-lua module, or was "
            "built for another ABI version (this is version %u)",
            path, TLUA_MODULE_SYMBOL, TLUA_ABI_VERSION);
    }
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast from object to function pointer */
    size_t before = tl_registry_count(r), operations = tl_registry_operation_count(r);
    int code = entry(&host_api, &view);
    if (code == TLUA_OK && tl_registry_count(r) == before &&
        tl_registry_operation_count(r) == operations) {
        return tl_error_set(err, TL_EINVAL,
                            "native module '%s' registered no activity and no operation", path);
    }
    if (code != TLUA_OK) {
        tl_registry_remove_last(r, before, operations);
        return tl_error_set(err, code == TL_EEXISTS ? TL_EEXISTS : TL_EINVAL,
                            "native module '%s' refused to load (code %d)%s%s", path, code,
                            view.error[0] ? ": " : "", view.error);
    }
    return TL_OK;
}

tl_rc tl_native_load(struct tl_registry *r, struct tl_str path, struct tl_error *err)
{
    char *name = tl_mem_dup(path);
    struct native_module *m = TL_NEW(struct native_module);
    m->base.release = unload;
    tl_rc rc = open_object(name, &m->handle, err);
    if (rc == TL_OK) {
        /* Before its functions, so that it is released after them. */
        tl_registry_adopt_module(r, &m->base);
        rc = register_all(r, m, name, err);
    } else {
        tl_mem_free(m);
    }
    tl_mem_free(name);
    return rc;
}
