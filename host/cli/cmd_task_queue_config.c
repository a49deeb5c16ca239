/* task-queue config get and set: how many tasks a second leave a queue. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/task_queue.h"
#include "proto/pb.h"
#include "tl_enums.h"

int tl_cmd_task_queue_config_get(struct tl_cli *cli);
int tl_cmd_task_queue_config_set(struct tl_cli *cli);

typedef TpWs__UpdateTaskQueueConfigRequest__RateLimitUpdate rate_update;
typedef TpWs__UpdateTaskQueueConfigRequest__SetFairnessWeightOverridesEntry weight_entry;

static int queue_type(struct tl_cli_session *s)
{
    return tl_cli_queue_type(tl_cli_text(s->cli, "task-queue-type"));
}

/* --- get ------------------------------------------------------------------------------------------- */

static int ask(struct tl_cli_session *s, TpWs__DescribeTaskQueueResponse **resp)
{
    TpWs__DescribeTaskQueueRequest r = TP_WS__DESCRIBE_TASK_QUEUE_REQUEST__INIT;
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    struct tl_client_error err;
    queue.name = tl_cli_field(s, "task-queue");
    queue.kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    r.task_queue = &queue;
    r.task_queue_type = (TpEnums__TaskQueueType)queue_type(s);
    r.report_config = true;
    if (tl_cli_call(s, TL_M_DescribeTaskQueue, &r, resp, &err) != TL_OK) {
        return tl_cli_call_failed("unable to get the settings of the task queue", &err);
    }
    return 0;
}

static const char *number(struct tl_cli_session *s, double v)
{
    char text[32];
    return tl_arena_cstr(&s->arena, tl_str_n(text, tl_json_double_text(v, text)));
}

/* "Queue Rate Limit" and what is known of its setting; nothing when it was never set. */
static void print_limit(struct tl_cli_session *s, const char *title, const TpTq__RateLimitConfig *c)
{
    if (!c) {
        return;
    }
    const TpTq__ConfigMetadata *m = c->metadata;
    const struct tl_print_row rows[] = {
        {"Requests Per Second",
         c->rate_limit ? number(s, (double)c->rate_limit->requests_per_second) : "Not set", false},
        {"Reason", m ? m->reason : NULL, true},
        {"Update Identity", m ? m->update_identity : NULL, true},
        {"Update Time", m ? tl_print_time(&s->print, &s->arena, m->update_time) : NULL, true},
    };
    tl_print_line(&s->print, "%s:", title);
    tl_print_card(&s->print, rows, sizeof rows / sizeof rows[0]);
}

static void print_config(struct tl_cli_session *s, const TpTq__TaskQueueConfig *c)
{
    static const struct tl_print_column columns[] = {{"Fairness Key", 0, false},
                                                     {"Weight", 0, true}};
    print_limit(s, "Queue Rate Limit", c->queue_rate_limit);
    print_limit(s, "Fairness Key Rate Limit Default", c->fairness_keys_rate_limit_default);
    size_t n = c->n_fairness_weight_overrides;
    const char **cells = n ? TL_ARENA_ARRAY(&s->arena, const char *, 2 * n) : NULL;
    for (size_t i = 0; cells && i < n; i++) {
        cells[2 * i] = c->fairness_weight_overrides[i]->key;
        cells[2 * i + 1] = number(s, (double)c->fairness_weight_overrides[i]->value);
    }
    if (cells) {
        tl_print_line(&s->print, "Fairness Weights:");
        tl_print_table(&s->print, columns, 2, cells, n, true, 1);
    }
}

static int run_get(struct tl_cli_session *s)
{
    TpWs__DescribeTaskQueueResponse *resp = NULL;
    struct tl_error err;
    int code = ask(s, &resp);
    if (code) {
        return code;
    }
    TpTq__TaskQueueConfig none = TP_TQ__TASK_QUEUE_CONFIG__INIT;
    const TpTq__TaskQueueConfig *c = resp->config ? resp->config : &none;
    if (!resp->config) {
        tl_print_line(&s->print, "No configuration found for task queue");
    }
    print_config(s, c);
    return tl_cli_printed(tl_print_message(&s->print, c, &err), &err);
}

int tl_cmd_task_queue_config_get(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_get);
}

/* --- set ------------------------------------------------------------------------------------------- */

static bool read_number(const char *text, float *out)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    *out = (float)v;
    return *text && !*end && errno == 0 && isfinite(v) && v >= 0 && isfinite(*out);
}

/* A rate or "default", which takes the limit away. Returns 0 or an exit code. */
static int read_rate(struct tl_cli *cli, const char *name, const char *what, rate_update *u,
                     TpTq__RateLimit *limit, bool *given)
{
    const char *text = tl_cli_text(cli, name);
    *given = text != NULL;
    if (!text || strcasecmp(text, "default") == 0) {
        return 0;
    }
    if (!read_number(text, &limit->requests_per_second)) {
        return tl_cli_fail(2, "--%s wants a number from 0 up, or 'default', got '%s'", name, text);
    }
    if (!(limit->requests_per_second > 0)) {
        fprintf(stderr,
                "WARNING: Setting %s to 0 will STOP ALL TRAFFIC on this task queue.\n"
                "         No task leaves it until the limit is changed.\n",
                what);
    }
    u->rate_limit = limit;
    return 0;
}

/* KEY=WEIGHT or KEY=default. Returns 0 or an exit code. */
static int read_weights(struct tl_cli_session *s, TpWs__UpdateTaskQueueConfigRequest *r)
{
    struct tl_pb_list set = {0}, unset = {0};
    for (const char *const *t = tl_cli_texts(s->cli, "fairness-key-weight"); *t; t++) {
        size_t n = strcspn(*t, "=");
        const char *value = *t + n + 1;
        char *key = tl_arena_cstr(&s->arena, tl_str_n(*t, n));
        if (!n || !(*t)[n]) {
            return tl_cli_fail(2, "--fairness-key-weight wants KEY=WEIGHT or KEY=default, got '%s'",
                               *t);
        }
        if (strcasecmp(value, "default") == 0) {
            tl_pb_push(&s->arena, &unset, key);
            continue;
        }
        weight_entry *e =
            TL_PB_NEW(&s->arena, weight_entry,
                      tp_ws__update_task_queue_config_request__set_fairness_weight_overrides_entry);
        if (!e || !read_number(value, &e->value) || !(e->value > 0)) {
            return tl_cli_fail(2, "--fairness-key-weight %s wants a weight above 0, got '%s'", key,
                               value);
        }
        e->key = key;
        tl_pb_push(&s->arena, &set, e);
    }
    r->n_set_fairness_weight_overrides = set.n;
    r->set_fairness_weight_overrides = set.items;
    r->n_unset_fairness_weight_overrides = unset.n;
    r->unset_fairness_weight_overrides = unset.items;
    return 0;
}

static int clear_weights(struct tl_cli_session *s, TpWs__UpdateTaskQueueConfigRequest *r)
{
    TpWs__DescribeTaskQueueResponse *resp = NULL;
    struct tl_pb_list unset = {0};
    int code = ask(s, &resp);
    const TpTq__TaskQueueConfig *c = code ? NULL : resp->config;
    for (size_t i = 0; c && i < c->n_fairness_weight_overrides; i++) {
        tl_pb_push(&s->arena, &unset, c->fairness_weight_overrides[i]->key);
    }
    r->n_unset_fairness_weight_overrides = unset.n;
    r->unset_fairness_weight_overrides = unset.items;
    return code;
}

static int run_set(struct tl_cli_session *s)
{
    TpWs__UpdateTaskQueueConfigRequest r = TP_WS__UPDATE_TASK_QUEUE_CONFIG_REQUEST__INIT;
    TpWs__UpdateTaskQueueConfigResponse *resp = NULL;
    rate_update queue = TP_WS__UPDATE_TASK_QUEUE_CONFIG_REQUEST__RATE_LIMIT_UPDATE__INIT;
    rate_update fairness = queue;
    TpTq__RateLimit queue_limit = TP_TQ__RATE_LIMIT__INIT, fairness_limit = queue_limit;
    struct tl_client_error err;
    bool queue_given, fairness_given, clear = tl_cli_flag(s->cli, "fairness-key-weight-clear-all");
    int code = read_rate(s->cli, "queue-rps-limit", "queue rate limit", &queue, &queue_limit,
                         &queue_given);
    code = code ? code
                : read_rate(s->cli, "fairness-key-rps-limit-default",
                            "fairness key rate limit default", &fairness, &fairness_limit,
                            &fairness_given);
    code = code ? code : read_weights(s, &r);
    if (code) {
        return code;
    }
    bool weights = r.n_set_fairness_weight_overrides || r.n_unset_fairness_weight_overrides;
    if (!queue_given && !fairness_given && !weights && !clear) {
        return tl_cli_fail(2, "nothing to set: give --queue-rps-limit, "
                              "--fairness-key-rps-limit-default or --fairness-key-weight");
    }
    if (clear && weights) {
        return tl_cli_fail(2, "--fairness-key-weight-clear-all and --fairness-key-weight exclude "
                              "each other");
    }
    if (queue_type(s) == TASK_QUEUE_TYPE_WORKFLOW && queue_given) {
        return tl_cli_fail(2, "setting rate limit on workflow task queues is not allowed");
    }
    queue.reason = tl_cli_field(s, "queue-rps-limit-reason");
    fairness.reason = tl_cli_field(s, "fairness-key-rps-limit-reason");
    r.identity = tl_pb_cstr(&s->arena, tl_client_identity(s->client));
    r.task_queue = tl_cli_field(s, "task-queue");
    r.task_queue_type = (TpEnums__TaskQueueType)queue_type(s);
    r.update_queue_rate_limit = queue_given ? &queue : NULL;
    r.update_fairness_key_rate_limit_default = fairness_given ? &fairness : NULL;
    code = clear ? clear_weights(s, &r) : 0;
    if (code) {
        return code;
    }
    if (tl_cli_call(s, TL_M_UpdateTaskQueueConfig, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("unable to set the configuration of the task queue", &err);
    }
    tl_print_line(&s->print, "Successfully updated task queue configuration");
    print_config(s, resp->config);
    return tl_cli_printed(tl_print_message(&s->print, resp, &err.error), &err.error);
}

int tl_cmd_task_queue_config_set(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_set);
}
