/* The embedder's worker: a bundle of Lua workflows, C activities, and a worker over both. */
#include <string.h>

#include "base/mem.h"
#include "embed/embed_int.h"
#include "luart/bundle.h"
#include "worker/native.h"
#include "worker/native_operation.h"
#include "worker/worker.h"

#define TEXTS_MAX ((size_t)1 << 20)

struct tlua_worker {
    struct tl_client *client;
    struct tl_client *measured; /* with the same channel and the metrics; NULL: none */
    struct tl_metrics *metrics; /* retained */
    struct tl_bundle *bundle;   /* NULL: activities only */
    struct tl_worker_lang *lang;
    struct tl_registry *registry;
    struct tl_worker *worker; /* made at start: it must know all activities */
    struct tl_worker_options options;
    struct tl_arena texts; /* of options */
    char *task_queue;
    tlua_slot_supplier suppliers[TLUA_SLOT_NEXUS + 1]; /* by kind */
};

/* A NULL-terminated copy of a list of texts; the texts are borrowed. */
static const char **terminated(const char *const *list, size_t count)
{
    const char **out = TL_NEW_ARRAY(const char *, count + 1);
    for (size_t i = 0; i < count; i++) {
        out[i] = list[i];
    }
    return out;
}

static tl_rc open_bundle(tlua_worker *w, const tlua_worker_options *o, struct tl_error *err)
{
    const char **roots = terminated(o->roots, o->roots_count);
    const char **modules = terminated(o->workflows, o->workflows_count);
    struct tl_bundle_config config = {.roots = roots, .workflow_modules = modules};
    tl_rc rc = tl_bundle_open(&w->bundle, &config, err);
    if (rc == TL_OK) {
        w->lang = tl_worker_lua_lang_new(w->bundle);
    }
    tl_mem_free(roots);
    tl_mem_free(modules);
    return rc;
}

/* Metrics are a client's for its life, and the embedder's has none: the worker gets one of its own. */
static void measure(tlua_worker *w, const tlua_metrics *metrics)
{
    struct tl_client_config config = {
        .channel = tl_client_channel(w->client),
        .namespace_name = tl_client_namespace(w->client),
        .identity = tl_client_identity(w->client),
        .metrics = metrics->registry,
        .eager = tl_client_eager(w->client),
    };
    w->metrics = tl_metrics_retain(metrics->registry);
    w->measured = tl_client_new(&config);
    w->client = w->measured;
}

int tlua_worker_new(tlua_client *client, const tlua_worker_options *options, tlua_worker **out,
                    tlua_error *err)
{
    tlua_worker_options o;
    struct tl_error e = {0};
    *out = NULL;
    if (!embed_options(&o, sizeof o, options) || !client || !o.task_queue) {
        return embed_error_text(err, TLUA_EINVAL, "client and task_queue are required");
    }
    tlua_worker *w = TL_NEW(struct tlua_worker);
    w->client = client->client;
    tl_arena_init(&w->texts, TEXTS_MAX);
    if (o.metrics && o.metrics->registry != client->metrics) {
        measure(w, o.metrics);
    }
    w->registry = tl_registry_new();
    w->task_queue = tl_mem_dup(tl_str(o.task_queue));
    tl_worker_options_init(&w->options);
    w->options.task_queue = tl_str(w->task_queue);
    if (o.max_cached_workflows) {
        w->options.max_cached_workflows = o.max_cached_workflows;
    }
    if (o.max_concurrent_activities) {
        w->options.max_concurrent_activities = o.max_concurrent_activities;
    }
    tl_rc rc = tl_worker_options_check(&w->options, &e);
    if (rc == TL_OK && o.workflows_count) {
        rc = open_bundle(w, &o, &e);
    }
    if (rc != TL_OK) {
        tlua_worker_free(w);
        return embed_error(err, rc, &e);
    }
    *out = w;
    return TLUA_OK;
}

static int not_after_start(tlua_error *err)
{
    return embed_error_text(err, TLUA_EPRECONDITION,
                            "activities and operations are registered before the worker starts");
}

int tlua_worker_register(tlua_worker *worker, const char *name, tlua_activity_fn fn, void *ud,
                         tlua_error *err)
{
    struct tl_error e = {0};
    if (worker->worker) {
        return not_after_start(err);
    }
    return embed_error(err, tl_native_add(worker->registry, tl_str(name), fn, ud, &e), &e);
}

int tlua_worker_register_operation(tlua_worker *worker, const char *service, const char *operation,
                                   const tlua_operation_handler *handler, tlua_error *err)
{
    struct tl_error e = {0};
    if (worker->worker) {
        return not_after_start(err);
    }
    return embed_error(err,
                       tl_native_add_operation(worker->registry, tl_str(service ? service : ""),
                                               tl_str(operation ? operation : ""), handler, &e),
                       &e);
}

int tlua_worker_load(tlua_worker *worker, const char *path, tlua_error *err)
{
    struct tl_error e = {0};
    if (worker->worker) {
        return not_after_start(err);
    }
    return embed_error(err, tl_native_load(worker->registry, tl_str(path), &e), &e);
}

int tlua_worker_set_slots(tlua_worker *worker, int kind, const tlua_slot_supplier *supplier,
                          tlua_error *err)
{
    struct tl_tuner_options *t = &worker->options.tuner;
    if (worker->worker) {
        return embed_error_text(err, TLUA_EPRECONDITION, "slots are set before the worker starts");
    }
    if (kind < TLUA_SLOT_WORKFLOW || kind > TLUA_SLOT_NEXUS || !supplier ||
        supplier->size < sizeof *supplier || !supplier->reserve || !supplier->try_reserve ||
        !supplier->release) {
        return embed_error_text(err, TLUA_EINVAL,
                                "a known kind of slots and a supplier with reserve, try_reserve "
                                "and release are required");
    }
    t->given = true;
    struct tl_slot_config *of = kind == TLUA_SLOT_WORKFLOW   ? &t->workflow
                                : kind == TLUA_SLOT_ACTIVITY ? &t->activity
                                : kind == TLUA_SLOT_NEXUS    ? &t->nexus
                                                             : &t->local_activity;
    worker->suppliers[kind] = *supplier;
    of->supplier = &worker->suppliers[kind];
    return TLUA_OK;
}

/* The kinds of slots without a supplier stay what the options say. */
static void keep_other_slots(struct tl_worker_options *o)
{
    o->tuner.workflow.maximum = o->max_concurrent_workflow_tasks;
    o->tuner.activity.maximum = o->max_concurrent_activities;
    o->tuner.local_activity.maximum = o->max_concurrent_local_activities;
    o->tuner.nexus.maximum = o->max_concurrent_nexus_tasks;
}

int tlua_worker_set_option(tlua_worker *worker, const char *name, const char *value,
                           tlua_error *err)
{
    struct tl_error e = {0};
    if (worker->worker) {
        return embed_error_text(err, TLUA_EPRECONDITION,
                                "options are set before the worker starts");
    }
    if (!name || !value || strcmp(name, "task_queue") == 0) {
        return embed_error_text(err, TLUA_EINVAL,
                                "a name and a value are required; task_queue is what the worker "
                                "was made with");
    }
    return embed_error(
        err,
        tl_worker_option_set(&worker->options, tl_str(name), tl_str(value), &worker->texts, &e),
        &e);
}

int tlua_worker_start(tlua_worker *worker, tlua_error *err)
{
    struct tl_error e = {0};
    if (worker->worker) {
        return embed_error_text(err, TLUA_EPRECONDITION, "a worker starts only once");
    }
    keep_other_slots(&worker->options);
    struct tl_worker_config config = {
        .client = worker->client,
        .lang = worker->lang,
        .registry = worker->registry,
        .options = worker->options,
    };
    tl_rc rc = tl_worker_new(&worker->worker, &config, &e);
    if (rc == TL_OK) {
        rc = tl_worker_start(worker->worker, &e);
    }
    return embed_error(err, rc, &e);
}

int tlua_worker_stop(tlua_worker *worker, int64_t grace_ms, tlua_error *err)
{
    struct tl_error e = {0};
    tl_rc rc = TL_OK;
    if (worker->worker) {
        tl_worker_shutdown(worker->worker, grace_ms > 0 ? grace_ms : 0);
        tl_worker_wait(worker->worker, INT64_MAX, &rc, &e);
    }
    return embed_error(err, rc, &e);
}

void tlua_worker_free(tlua_worker *worker)
{
    if (worker) {
        tl_worker_free(worker->worker);
        tl_registry_free(worker->registry);
        tl_worker_lua_lang_free(worker->lang);
        tl_bundle_close(worker->bundle);
        tl_client_free(worker->measured);
        tl_metrics_free(worker->metrics);
        tl_arena_deinit(&worker->texts);
        tl_mem_free(worker->task_queue);
        tl_mem_free(worker);
    }
}

const tlua_host_api *tlua_host(void)
{
    return tl_native_host_api();
}
