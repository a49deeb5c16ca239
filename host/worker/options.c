/* The options table as data, and the rules between options. */
#include "worker/worker.h"

#include "client/client.h"

#define SLOTS_MAX 10000
#define RAMP_MS_MAX 3600000
#define THREAD_PREFIX_MAX 10 /* a name has 15 bytes on Linux: leaves room for the number */

#define INT(name, def, min, max, text)                                                             \
    {#name,         TL_OPT_INT,    offsetof(struct tl_worker_options, name),                       \
     (double)(def), (double)(min), (double)(max),                                                  \
     text},
#define DUR(name, def, min, max, text)                                                             \
    {#name,         TL_OPT_DURATION, offsetof(struct tl_worker_options, name##_ms),                \
     (double)(def), (double)(min),   (double)(max),                                                \
     text},
#define REAL(name, def, min, max, text)                                                            \
    {#name, TL_OPT_REAL, offsetof(struct tl_worker_options, name), def, min, max, text},
#define BOOL(name, def, text)                                                                      \
    {#name, TL_OPT_BOOL, offsetof(struct tl_worker_options, name), def, 0, 1, text},
#define TEXT(name, text)                                                                           \
    {#name, TL_OPT_TEXT, offsetof(struct tl_worker_options, name), 0, 0, 0, text},

#define POLLER(name, def, max, text)                                                               \
    {#name, TL_OPT_POLLER, offsetof(struct tl_worker_options, name), def, 1, max, text},
#define NONE(name, reason) {#name, TL_OPT_NONE, 0, 0, 0, 0, reason},

static const struct tl_option_row rows[] = {
#include "worker/options.def"
    {NULL, TL_OPT_INT, 0, 0, 0, 0, NULL},
};

const struct tl_option_row *tl_worker_option_rows(void)
{
    return rows;
}

static void *at(struct tl_worker_options *o, const struct tl_option_row *r)
{
    return (char *)o + r->offset;
}

void tl_worker_options_init(struct tl_worker_options *o)
{
    *o = (struct tl_worker_options){0};
    for (const struct tl_option_row *r = rows; r->name; r++) {
        switch (r->kind) {
        case TL_OPT_INT:
        case TL_OPT_DURATION:
            *(int64_t *)at(o, r) = (int64_t)r->def;
            break;
        case TL_OPT_REAL:
            *(double *)at(o, r) = r->def;
            break;
        case TL_OPT_BOOL:
            *(bool *)at(o, r) = r->def != 0;
            break;
        case TL_OPT_POLLER:
            *(struct tl_poller_behavior *)at(o, r) = (struct tl_poller_behavior){
                .minimum = 1, .maximum = (int64_t)r->def, .initial = (int64_t)r->def};
            break;
        case TL_OPT_TEXT:
        case TL_OPT_NONE:
            break;
        }
    }
}

/* The smallest and largest number of polls at any time must be possible, and the first one between. */
static tl_rc check_poller(const struct tl_poller_behavior *b, const struct tl_option_row *r,
                          struct tl_error *err)
{
    const struct {
        const char *name;
        int64_t value;
        double min, max;
    } parts[] = {
        {"maximum", b->maximum, r->min, r->max},
        {"minimum", b->minimum, r->min, (double)b->maximum},
        {"initial", b->initial, (double)b->minimum, (double)b->maximum},
    };
    for (size_t i = 0; i < (b->autoscaling ? 3u : 1u); i++) {
        if ((double)parts[i].value < parts[i].min || (double)parts[i].value > parts[i].max) {
            return tl_error_set(err, TL_EINVAL, "%s.%s must be from %g to %g, not %lld", r->name,
                                parts[i].name, parts[i].min, parts[i].max,
                                (long long)parts[i].value);
        }
    }
    return TL_OK;
}

static struct tl_poller_behavior behavior(const struct tl_poller_behavior *given, int64_t older)
{
    return older ? (struct tl_poller_behavior){.minimum = 1, .maximum = older, .initial = older}
                 : *given;
}

struct tl_poller_behavior tl_worker_workflow_polls(const struct tl_worker_options *o)
{
    return behavior(&o->workflow_task_poller_behavior, o->max_concurrent_workflow_task_polls);
}

struct tl_poller_behavior tl_worker_activity_polls(const struct tl_worker_options *o)
{
    return behavior(&o->activity_task_poller_behavior, o->max_concurrent_activity_task_polls);
}

static tl_rc check_range(const struct tl_worker_options *o, const struct tl_option_row *r,
                         struct tl_error *err)
{
    const void *p = (const char *)o + r->offset;
    double v;
    switch (r->kind) {
    case TL_OPT_INT:
    case TL_OPT_DURATION:
        v = (double)*(const int64_t *)p;
        break;
    case TL_OPT_REAL:
        v = *(const double *)p;
        break;
    case TL_OPT_TEXT:
        if (((const struct tl_str *)p)->n &&
            memchr(((const struct tl_str *)p)->p, 0, ((const struct tl_str *)p)->n)) {
            return tl_error_set(err, TL_EINVAL, "%s holds a NUL byte", r->name);
        }
        return TL_OK;
    case TL_OPT_POLLER:
        return check_poller(p, r, err);
    case TL_OPT_BOOL:
    case TL_OPT_NONE:
    default:
        return TL_OK;
    }
    if (v >= r->min && v <= r->max) { /* a NaN is in no range */
        return TL_OK;
    }
    if (r->kind == TL_OPT_DURATION) {
        return tl_error_set(err, TL_EINVAL, "%s must be from %g to %g seconds, not %g", r->name,
                            r->min / 1000.0, r->max / 1000.0, v / 1000.0);
    }
    return tl_error_set(err, TL_EINVAL, "%s must be from %.15g to %.15g, not %.15g", r->name,
                        r->min, r->max, v);
}

static tl_rc check_slots(const char *name, const struct tl_slot_config *c, bool share,
                         struct tl_error *err)
{
    if (c->supplier) {
        const tlua_slot_supplier *s = c->supplier;
        return s->size >= sizeof *s && s->reserve && s->try_reserve && s->release
                   ? TL_OK
                   : tl_error_set(err, TL_EINVAL,
                                  "tuner: the supplier of slots of %s wants reserve, try_reserve "
                                  "and release",
                                  name);
    }
    const int64_t least = c->resource_based ? c->minimum : c->maximum;
    if (c->maximum < 1 || c->maximum > SLOTS_MAX || least < 1 || least > c->maximum) {
        return tl_error_set(err, TL_EINVAL,
                            "tuner: slots of %s must be from 1 to %d, the minimum not above the "
                            "maximum",
                            name, SLOTS_MAX);
    }
    if (share && least < 2) {
        return tl_error_set(err, TL_EINVAL,
                            "tuner: slots of %s must be at least 2 (one for the task queue, one "
                            "for the sticky queue), or set max_cached_workflows = 0",
                            name);
    }
    if (c->ramp_throttle_ms < 0 || c->ramp_throttle_ms > RAMP_MS_MAX) {
        return tl_error_set(err, TL_EINVAL,
                            "tuner: ramp_throttle of %s must be from 0 to %d "
                            "seconds",
                            name, RAMP_MS_MAX / 1000);
    }
    return TL_OK;
}

static tl_rc check_tuner(const struct tl_worker_options *o, struct tl_error *err)
{
    const struct tl_tuner_options *t = &o->tuner;
    const struct {
        const char *name;
        const struct tl_slot_config *config;
        bool share; /* two queues are polled */
    } kinds[] = {
        {"workflow tasks", &t->workflow, o->max_cached_workflows > 0},
        {"activities", &t->activity, false},
        {"local activities", &t->local_activity, false},
        {"Nexus tasks", &t->nexus, false},
    };
    bool based = false;
    tl_rc rc = TL_OK;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && rc == TL_OK && t->given; i++) {
        rc = check_slots(kinds[i].name, kinds[i].config, kinds[i].share, err);
        based = based || kinds[i].config->resource_based;
    }
    const double targets[] = {t->target_memory_usage, t->target_cpu_usage};
    for (size_t i = 0; i < 2 && rc == TL_OK && based; i++) {
        if (!(targets[i] > 0 && targets[i] <= 1)) {
            rc = tl_error_set(err, TL_EINVAL, "tuner: %s must be above 0 and at most 1, not %g",
                              i ? "target_cpu_usage" : "target_memory_usage", targets[i]);
        }
    }
    return rc;
}

tl_rc tl_worker_options_check(const struct tl_worker_options *o, struct tl_error *err)
{
    for (const struct tl_option_row *r = rows; r->name; r++) {
        tl_rc rc = check_range(o, r, err);
        if (rc != TL_OK) {
            return rc;
        }
    }
    tl_rc tuned = check_tuner(o, err);
    if (tuned != TL_OK) {
        return tuned;
    }
    const struct tl_poller_behavior polls = tl_worker_workflow_polls(o);
    /* Rules between options: when the condition holds, the text says what to do. */
    const struct {
        bool broken;
        const char *text;
    } rules[] = {
        {o->task_queue.n == 0, "task_queue is required"},
        {o->max_cached_workflows > 0 && !polls.autoscaling && polls.maximum < 2,
         "workflow_task_poller_behavior.maximum (max_concurrent_workflow_task_polls) must be at "
         "least 2 (one for the task queue, one for the sticky queue), or set max_cached_workflows "
         "= "
         "0"},
        {o->max_cached_workflows > 0 && o->max_concurrent_workflow_tasks < 2,
         "max_concurrent_workflow_tasks must be at least 2, or set max_cached_workflows = 0"},
        {o->workflow_thread_name_prefix.n > THREAD_PREFIX_MAX ||
             o->activity_thread_name_prefix.n > THREAD_PREFIX_MAX ||
             o->nexus_thread_name_prefix.n > THREAD_PREFIX_MAX,
         "workflow_thread_name_prefix, activity_thread_name_prefix and nexus_thread_name_prefix "
         "have at most 10 bytes"},
        {o->use_worker_versioning && o->deployment_name.n == 0 &&
             (o->build_id.n == 0 || tl_str_eqc(o->build_id, "auto")),
         "use_worker_versioning needs deployment_config.name (deployment_name), or a build_id for "
         "the older versioning by sets of builds"},
        {!(o->use_worker_versioning && o->deployment_name.n) &&
             o->default_versioning_behavior.n != 0,
         "default_versioning_behavior only means something with use_worker_versioning = true and a "
         "deployment_name"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].broken) {
            return tl_error_set(err, TL_EINVAL, "%s", rules[i].text);
        }
    }
    struct tl_str behavior = o->default_versioning_behavior;
    if (behavior.n != 0 && !tl_str_eqc(behavior, "pinned") &&
        !tl_str_eqc(behavior, "auto_upgrade")) {
        return tl_error_set(
            err, TL_EINVAL,
            "default_versioning_behavior must be \"pinned\" or \"auto_upgrade\", not '%.*s'",
            (int)(behavior.n < 60 ? behavior.n : 60), behavior.p);
    }
    return TL_OK;
}
