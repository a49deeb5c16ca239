/* workflow trace: a workflow with its activities, timers and child workflows as a tree, drawn again as it goes on until
 * the workflow has ended. On a terminal each drawing takes the place of the one before; elsewhere only the last is
 * written. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/connect.h"
#include "proto/pb.h"
#include "tl_enums.h"

#define LOOK_AGAIN_NS (500 * TL_NS_PER_MS)
#define DEPTH_MAX 100

int tl_cmd_workflow_trace(struct tl_cli *cli);

enum state { PENDING, RUNNING, DONE, FAILED, CANCELED, TERMINATED, TIMED_OUT, CONTINUED };

static const struct {
    const char *mark, *word, *fold;
    int status;
} states[] = {
    [PENDING] = {"\u2022", "scheduled", NULL, 0},
    [RUNNING] = {"\u25b7", "running", "running", WORKFLOW_EXECUTION_STATUS_RUNNING},
    [DONE] = {"\u2713", "completed", "completed", WORKFLOW_EXECUTION_STATUS_COMPLETED},
    [FAILED] = {"!", "failed", "failed", WORKFLOW_EXECUTION_STATUS_FAILED},
    [CANCELED] = {"x", "canceled", "canceled", WORKFLOW_EXECUTION_STATUS_CANCELED},
    [TERMINATED] = {"x", "terminated", "terminated", WORKFLOW_EXECUTION_STATUS_TERMINATED},
    [TIMED_OUT] = {"\u23f1", "timed out", "timedout", WORKFLOW_EXECUTION_STATUS_TIMED_OUT},
    [CONTINUED] = {"\u00bb", "continued as new", "continueasnew",
                   WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW},
};

enum { STATES = sizeof states / sizeof states[0] };

/* An activity, a timer or a child: what its events say. */
struct node {
    enum { ACTIVITY, TIMER, CHILD } kind;
    enum state state;
    const TpHistory__HistoryEvent *event; /* that it begins with */
    int64_t begun_ns, ended_ns;
    int32_t attempt;
    const char *name, *failure, *timer_id;
    const TpCommon__WorkflowExecution *child;
};

struct trace {
    struct tl_cli_session *s;
    struct tl_arena arena; /* of one drawing */
    struct tl_buf out;
    int64_t depth; /* of children; negative: all */
    bool fold[STATES];
    int64_t now_ns;
    struct tl_client_error err;
};

/* Attributes of events share their place: which they are has to be asked first. */
#define is(e, attributes)                                                                          \
    ((e)->attributes_case == TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_##attributes)

/* --- events to nodes -------------------------------------------------------------------------------- */

static struct node *node_of(struct node *nodes, size_t n, int64_t id)
{
    for (size_t i = 0; i < n; i++) {
        if (nodes[i].event->event_id == id) {
            return &nodes[i];
        }
    }
    return NULL;
}

static void end_node(struct node *n, enum state state, const TpHistory__HistoryEvent *e,
                     const TpFailure__Failure *failure)
{
    if (n) {
        n->state = state;
        n->ended_ns = tl_pb_timestamp_ns_or(e->event_time, 0);
        const TpFailure__Failure *inner = failure && failure->cause ? failure->cause : failure;
        n->failure = inner ? inner->message : n->failure;
    }
}

/* The node that an event begins; false when it begins none. */
static bool begin_node(struct node *n, const TpHistory__HistoryEvent *e)
{
    *n = (struct node){.event = e, .begun_ns = tl_pb_timestamp_ns_or(e->event_time, 0)};
    if (is(e, ACTIVITY_TASK_SCHEDULED_EVENT_ATTRIBUTES)) {
        const TpHistory__ActivityTaskScheduledEventAttributes *a =
            e->activity_task_scheduled_event_attributes;
        n->kind = ACTIVITY;
        n->name = a->activity_type ? a->activity_type->name : a->activity_id;
        return true;
    }
    if (is(e, TIMER_STARTED_EVENT_ATTRIBUTES)) {
        n->kind = TIMER;
        n->state = RUNNING;
        n->timer_id = e->timer_started_event_attributes->timer_id;
        n->name = "Timer";
        n->ended_ns =
            n->begun_ns +
            tl_pb_duration_ns_or(e->timer_started_event_attributes->start_to_fire_timeout, 0);
        return true;
    }
    if (is(e, START_CHILD_WORKFLOW_EXECUTION_INITIATED_EVENT_ATTRIBUTES)) {
        const TpHistory__StartChildWorkflowExecutionInitiatedEventAttributes *a =
            e->start_child_workflow_execution_initiated_event_attributes;
        n->kind = CHILD;
        n->name = a->workflow_type ? a->workflow_type->name : a->workflow_id;
        return true;
    }
    return false;
}

static void activity_event(struct node *nodes, size_t n, const TpHistory__HistoryEvent *e)
{
#define OF(attributes) node_of(nodes, n, e->attributes->scheduled_event_id)
    if (is(e, ACTIVITY_TASK_STARTED_EVENT_ATTRIBUTES)) {
        struct node *a = OF(activity_task_started_event_attributes);
        if (a) {
            a->state = RUNNING;
            a->attempt = e->activity_task_started_event_attributes->attempt;
        }
    } else if (is(e, ACTIVITY_TASK_COMPLETED_EVENT_ATTRIBUTES)) {
        end_node(OF(activity_task_completed_event_attributes), DONE, e, NULL);
    } else if (is(e, ACTIVITY_TASK_FAILED_EVENT_ATTRIBUTES)) {
        end_node(OF(activity_task_failed_event_attributes), FAILED, e,
                 e->activity_task_failed_event_attributes->failure);
    } else if (is(e, ACTIVITY_TASK_TIMED_OUT_EVENT_ATTRIBUTES)) {
        end_node(OF(activity_task_timed_out_event_attributes), TIMED_OUT, e,
                 e->activity_task_timed_out_event_attributes->failure);
    } else if (is(e, ACTIVITY_TASK_CANCELED_EVENT_ATTRIBUTES)) {
        end_node(OF(activity_task_canceled_event_attributes), CANCELED, e, NULL);
    }
#undef OF
}

static void child_event(struct node *nodes, size_t n, const TpHistory__HistoryEvent *e)
{
#define OF(attributes) node_of(nodes, n, e->attributes->initiated_event_id)
    if (is(e, CHILD_WORKFLOW_EXECUTION_STARTED_EVENT_ATTRIBUTES)) {
        struct node *c = OF(child_workflow_execution_started_event_attributes);
        if (c) {
            c->state = RUNNING;
            c->child = e->child_workflow_execution_started_event_attributes->workflow_execution;
        }
    } else if (is(e, START_CHILD_WORKFLOW_EXECUTION_FAILED_EVENT_ATTRIBUTES)) {
        end_node(OF(start_child_workflow_execution_failed_event_attributes), FAILED, e, NULL);
    } else if (is(e, CHILD_WORKFLOW_EXECUTION_COMPLETED_EVENT_ATTRIBUTES)) {
        end_node(OF(child_workflow_execution_completed_event_attributes), DONE, e, NULL);
    } else if (is(e, CHILD_WORKFLOW_EXECUTION_FAILED_EVENT_ATTRIBUTES)) {
        end_node(OF(child_workflow_execution_failed_event_attributes), FAILED, e,
                 e->child_workflow_execution_failed_event_attributes->failure);
    } else if (is(e, CHILD_WORKFLOW_EXECUTION_CANCELED_EVENT_ATTRIBUTES)) {
        end_node(OF(child_workflow_execution_canceled_event_attributes), CANCELED, e, NULL);
    } else if (is(e, CHILD_WORKFLOW_EXECUTION_TERMINATED_EVENT_ATTRIBUTES)) {
        end_node(OF(child_workflow_execution_terminated_event_attributes), TERMINATED, e, NULL);
    } else if (is(e, CHILD_WORKFLOW_EXECUTION_TIMED_OUT_EVENT_ATTRIBUTES)) {
        end_node(OF(child_workflow_execution_timed_out_event_attributes), TIMED_OUT, e, NULL);
    }
#undef OF
}

static void timer_event(struct node *nodes, size_t n, const TpHistory__HistoryEvent *e)
{
    if (is(e, TIMER_FIRED_EVENT_ATTRIBUTES)) {
        end_node(node_of(nodes, n, e->timer_fired_event_attributes->started_event_id), DONE, e,
                 NULL);
    } else if (is(e, TIMER_CANCELED_EVENT_ATTRIBUTES)) {
        end_node(node_of(nodes, n, e->timer_canceled_event_attributes->started_event_id), CANCELED,
                 e, NULL);
    }
}

/* --- drawing ---------------------------------------------------------------------------------------- */

static void indent(struct trace *t, int depth)
{
    tl_buf_puts(&t->out, " ");
    for (int i = 0; i < depth; i++) {
        tl_buf_puts(&t->out, " \u2502 ");
    }
}

/* "(3s, 2 attempts)"; nothing without a begin. */
static void draw_times(struct trace *t, int64_t begun_ns, int64_t ended_ns, int32_t attempt)
{
    if (begun_ns) {
        int64_t ns = (ended_ns ? ended_ns : t->now_ns) - begun_ns;
        ns = ns < 0 ? 0 : ns - ns % TL_NS_PER_MS;
        tl_buf_printf(&t->out, " (%s", tl_print_duration(&t->arena, ns));
        if (attempt > 1) {
            tl_buf_printf(&t->out, ", %d attempts", attempt);
        }
        tl_buf_putc(&t->out, ')');
    }
    tl_buf_putc(&t->out, '\n');
}

static void draw_failure(struct trace *t, int depth, const char *failure)
{
    if (failure && *failure) {
        indent(t, depth);
        tl_buf_printf(&t->out, "    failure: %.*s\n", (int)strcspn(failure, "\n"), failure);
    }
}

static tl_rc draw_run(struct trace *t, const char *workflow_id, const char *run_id, int depth,
                      bool *open);

static tl_rc draw_node(struct trace *t, const struct node *n, int depth)
{
    bool open;
    if (n->kind == CHILD && n->child && depth <= DEPTH_MAX && (t->depth < 0 || depth <= t->depth) &&
        !t->fold[n->state]) {
        return draw_run(t, n->child->workflow_id, n->child->run_id, depth, &open);
    }
    indent(t, depth);
    tl_buf_printf(&t->out, "%s %s %s", n->kind == CHILD ? "\u256a" : "\u253c",
                  n->kind == TIMER && n->state != CANCELED ? "\u29d6" : states[n->state].mark,
                  n->name);
    if (n->kind == TIMER) {
        tl_buf_printf(&t->out, " %s", n->timer_id);
    }
    draw_times(t, n->begun_ns, n->ended_ns, n->attempt);
    if (n->kind == CHILD && n->child) {
        indent(t, depth + 1);
        tl_buf_printf(&t->out, "workflow %s, run %s (not unfolded)\n", n->child->workflow_id,
                      n->child->run_id);
    }
    draw_failure(t, depth, n->failure);
    return TL_OK;
}

/* What is retried has no event for its attempts: the description tells. */
static void note_pending(const TpWs__DescribeWorkflowExecutionResponse *d, struct node *nodes,
                         size_t n)
{
    for (size_t i = 0; i < d->n_pending_activities; i++) {
        const TpWorkflow__PendingActivityInfo *p = d->pending_activities[i];
        for (size_t k = 0; k < n; k++) {
            const TpHistory__HistoryEvent *e = nodes[k].event;
            if (nodes[k].kind == ACTIVITY && nodes[k].state <= RUNNING &&
                is(e, ACTIVITY_TASK_SCHEDULED_EVENT_ATTRIBUTES) &&
                strcmp(e->activity_task_scheduled_event_attributes->activity_id, p->activity_id) ==
                    0) {
                nodes[k].attempt = p->attempt;
                nodes[k].failure = p->last_failure ? p->last_failure->message : NULL;
                nodes[k].state =
                    (int)p->state == PENDING_ACTIVITY_STATE_SCHEDULED ? PENDING : RUNNING;
            }
        }
    }
}

static enum state state_of_status(int status)
{
    for (int i = RUNNING; i < STATES; i++) {
        if (states[i].status == status) {
            return (enum state)i;
        }
    }
    return RUNNING;
}

static tl_rc draw_nodes(struct trace *t, const TpHistory__History *h,
                        const TpWs__DescribeWorkflowExecutionResponse *d, int depth)
{
    struct node *nodes = TL_ARENA_ARRAY(&t->arena, struct node, h->n_events + 1);
    size_t n = 0;
    tl_rc rc = TL_OK;
    if (!nodes) {
        return tl_error_set(&t->err.error, TL_ELIMIT, "the history is too large");
    }
    for (size_t i = 0; i < h->n_events; i++) {
        if (begin_node(&nodes[n], h->events[i])) {
            n++;
            continue;
        }
        activity_event(nodes, n, h->events[i]);
        child_event(nodes, n, h->events[i]);
        timer_event(nodes, n, h->events[i]);
    }
    note_pending(d, nodes, n);
    for (size_t i = 0; rc == TL_OK && i < n; i++) {
        rc = draw_node(t, &nodes[i], depth);
    }
    return rc;
}

static tl_rc describe(struct trace *t, const char *workflow_id, const char *run_id,
                      TpWs__DescribeWorkflowExecutionResponse **d)
{
    TpWs__DescribeWorkflowExecutionRequest r = TP_WS__DESCRIBE_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowExecution execution = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    execution.workflow_id = (char *)(uintptr_t)workflow_id;
    execution.run_id = (char *)(uintptr_t)run_id;
    r.execution = &execution;
    tl_rc rc = tl_client_call(t->s->client, TL_M_DescribeWorkflowExecution, &r, &t->arena, d,
                              tl_cli_time_left_ns(t->s), &t->err);
    if (rc == TL_OK && !(*d)->workflow_execution_info) {
        rc = tl_error_set(&t->err.error, TL_EDECODE, "the service told nothing of the workflow");
    }
    return rc;
}

static tl_rc draw_run(struct trace *t, const char *workflow_id, const char *run_id, int depth,
                      bool *open)
{
    TpWs__DescribeWorkflowExecutionResponse *d = NULL;
    TpHistory__History *h = NULL;
    tl_rc rc = describe(t, workflow_id, run_id, &d);
    if (rc != TL_OK) {
        return rc;
    }
    const TpWorkflow__WorkflowExecutionInfo *info = d->workflow_execution_info;
    const char *run = info->execution ? info->execution->run_id : run_id;
    enum state state = state_of_status((int)info->status);
    *open = state == RUNNING;
    indent(t, depth);
    tl_buf_printf(&t->out, "\u256a %s %s", states[state].mark, info->type ? info->type->name : "");
    draw_times(t, tl_pb_timestamp_ns_or(info->start_time, 0),
               tl_pb_timestamp_ns_or(info->close_time, 0), 0);
    indent(t, depth + 1);
    tl_buf_printf(&t->out, "%s, workflow %s, run %s\n", states[state].word, workflow_id, run);
    rc = tl_client_history(t->s->client, tl_str(workflow_id), tl_str(run), &t->arena, &h, &t->err);
    if (rc == TL_OK && h->n_events) {
        const TpHistory__HistoryEvent *last = h->events[h->n_events - 1];
        const TpFailure__Failure *failure =
            is(last, WORKFLOW_EXECUTION_FAILED_EVENT_ATTRIBUTES)
                ? last->workflow_execution_failed_event_attributes->failure
                : NULL;
        rc = draw_nodes(t, h, d, depth + 1);
        draw_failure(t, depth, failure ? failure->message : NULL);
    }
    return rc;
}

/* --- the command ------------------------------------------------------------------------------------ */

/* --fold, --no-fold. Returns 0 or an exit code. */
static int read_folds(struct trace *t)
{
    const char *const *words = tl_cli_texts(t->s->cli, "fold");
    bool none = tl_cli_flag(t->s->cli, "no-fold");
    if (none && *words) {
        return tl_cli_fail(2, "--fold and --no-fold exclude each other");
    }
    t->fold[DONE] = t->fold[CANCELED] = t->fold[TERMINATED] = !*words && !none;
    for (; *words; words++) {
        int i = RUNNING;
        while (i < STATES && strcmp(states[i].fold, *words) != 0) {
            i++;
        }
        if (i == STATES) {
            return tl_cli_fail(2,
                               "--fold wants running, completed, failed, canceled, terminated, "
                               "timedout or continueasnew, got '%s'",
                               *words);
        }
        t->fold[i] = true;
    }
    return 0;
}

static size_t lines_of(struct tl_str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        n += text.p[i] == '\n';
    }
    return n;
}

/* Draws until the workflow has ended. */
static int follow(struct trace *t)
{
    bool terminal = isatty(STDOUT_FILENO), open = true;
    size_t drawn = 0;
    while (open) {
        tl_arena_reset(&t->arena);
        tl_buf_clear(&t->out);
        t->now_ns = tl_world_wall_ns(tl_world_real());
        if (draw_run(t, tl_cli_field(t->s, "workflow-id"), tl_cli_field(t->s, "run-id"), 0,
                     &open) != TL_OK) {
            return tl_cli_call_failed("cannot trace the workflow", &t->err);
        }
        if (terminal || !open) {
            if (drawn) {
                tl_print_line(&t->s->print, "\033[%zuA\033[J", drawn + 1);
            }
            tl_print_line(&t->s->print, "%.*s", (int)tl_buf_str(&t->out).n, tl_buf_str(&t->out).p);
            tl_print_flush(&t->s->print);
            drawn = terminal ? lines_of(tl_buf_str(&t->out)) + 1 : 0;
        }
        if (open && t->s->deadline_mono_ns && tl_cli_time_left_ns(t->s) <= LOOK_AGAIN_NS) {
            return tl_cli_fail(1, "the workflow has not ended within --command-timeout");
        }
        if (open) {
            nanosleep(&(struct timespec){.tv_nsec = LOOK_AGAIN_NS}, NULL);
        }
    }
    return 0;
}

static int run_trace(struct tl_cli_session *s)
{
    struct trace t = {.s = s, .depth = tl_cli_integer(s->cli, "depth")};
    if (tl_print_is_json(&s->print)) {
        return tl_cli_fail(2, "a trace is a drawing: use workflow show for JSON");
    }
    int code = read_folds(&t);
    if (code) {
        return code;
    }
    tl_arena_init(&t.arena, (size_t)tl_limit_request_bytes * 8);
    tl_buf_init(&t.out, (size_t)tl_limit_request_bytes);
    code = follow(&t);
    tl_buf_deinit(&t.out);
    tl_arena_deinit(&t.arena);
    return code;
}

int tl_cmd_workflow_trace(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_trace);
}
