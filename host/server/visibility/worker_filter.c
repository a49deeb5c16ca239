/* See worker_filter.h. It decides while it parses; both sides of AND and OR are always parsed. */
#include "server/visibility/worker_filter.h"

#include <string.h>
#include <strings.h>
#include <tl_enums.h>

#include "proto/pb.h"
#include "server/visibility/filter_int.h"

#define DEPTH_MAX 50

struct decision {
    struct tl_filter_parser p;
    const TpWorker__WorkerHeartbeat *w;
};

/* What a field of this worker is, or what a value stands for. */
struct operand {
    bool is_number; /* a time in ns, or a status */
    struct tl_str text;
    int64_t number;
};

enum field_kind { TEXT, TIME, STATUS };

struct named {
    const char *name;
    enum field_kind kind;
};

static const struct named fields[] = {
    {"WorkerInstanceKey", TEXT}, {"WorkerIdentity", TEXT}, {"HostName", TEXT},
    {"TaskQueue", TEXT},         {"DeploymentName", TEXT}, {"BuildId", TEXT},
    {"SdkName", TEXT},           {"SdkVersion", TEXT},     {"StartTime", TIME},
    {"LastHeartbeatTime", TIME}, {"Status", STATUS},
};

static struct operand field_of(const TpWorker__WorkerHeartbeat *w, size_t i)
{
    const TpDeployment__WorkerDeploymentVersion *v = w->deployment_version;
    const char *texts[] = {w->worker_instance_key,
                           w->worker_identity,
                           w->host_info ? w->host_info->host_name : "",
                           w->task_queue,
                           v ? v->deployment_name : "",
                           v ? v->build_id : "",
                           w->sdk_name,
                           w->sdk_version};
    if (fields[i].kind == TEXT) {
        return (struct operand){.text = tl_str(texts[i])};
    }
    int64_t n = fields[i].kind == STATUS ? (int64_t)w->status
                : i == 8                 ? tl_pb_timestamp_ns_or(w->start_time, 0)
                                         : tl_pb_timestamp_ns_or(w->heartbeat_time, 0);
    return (struct operand){.is_number = true, .number = n};
}

static tl_rc read_field(struct decision *d, size_t *out)
{
    if (d->p.token == TL_T_WORD || (d->p.token == TL_T_TEXT && d->p.quoted)) {
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
            if (d->p.word.n == strlen(fields[i].name) &&
                strncasecmp(d->p.word.p, fields[i].name, d->p.word.n) == 0) {
                *out = i;
                tl_filter_next(&d->p);
                return TL_OK;
            }
        }
    }
    return tl_filter_fail(
        &d->p, "a field of workers (WorkerInstanceKey, WorkerIdentity, HostName, TaskQueue, "
               "DeploymentName, BuildId, SdkName, SdkVersion, StartTime, "
               "LastHeartbeatTime, Status)");
}

static bool status_named(struct tl_str word, int64_t *out)
{
    static const char *const names[] = {"Unspecified", "Running", "ShuttingDown", "Shutdown"};
    static const char *const protocol[] = {"WORKER_STATUS_UNSPECIFIED", "WORKER_STATUS_RUNNING",
                                           "WORKER_STATUS_SHUTTING_DOWN", "WORKER_STATUS_SHUTDOWN"};
    for (int64_t i = 0; i < 4; i++) {
        if (tl_str_eqc(word, names[i]) || tl_str_eqc(word, protocol[i])) {
            *out = i;
            return true;
        }
    }
    return false;
}

static tl_rc read_value(struct decision *d, enum field_kind kind, struct operand *out)
{
    *out = (struct operand){.is_number = kind != TEXT, .text = d->p.word};
    if (d->p.token != TL_T_TEXT) {
        return tl_filter_fail(&d->p, "a text in quotes");
    }
    if (kind == STATUS && !status_named(d->p.word, &out->number)) {
        return tl_filter_fail(&d->p, "'Running', 'ShuttingDown' or 'Shutdown'");
    }
    if (kind == TIME && tl_filter_time(d->p.word, &out->number, d->p.err) != TL_OK) {
        return tl_filter_fail(&d->p, "a time such as '2026-11-21T10:00:00Z'");
    }
    tl_filter_next(&d->p);
    return TL_OK;
}

static bool starts_with(struct tl_str text, struct tl_str head)
{
    return text.n >= head.n && memcmp(text.p, head.p, head.n) == 0;
}

static int compare(const struct operand *a, const struct operand *b)
{
    if (a->is_number) {
        return a->number < b->number ? -1 : a->number > b->number;
    }
    return tl_str_cmp(a->text, b->text);
}

/* [NOT] IN, STARTS_WITH; BETWEEN. The token is behind NOT. */
static tl_rc read_words(struct decision *d, size_t field, bool negated, bool *out)
{
    struct operand have = field_of(d->w, field), value, last;
    enum field_kind kind = fields[field].kind;
    tl_rc rc;
    if (tl_filter_accept_word(&d->p, "IN")) {
        bool found = false;
        if (!tl_filter_accept_sign(&d->p, "(")) {
            return tl_filter_fail(&d->p, "'('");
        }
        do {
            rc = read_value(d, kind, &value);
            found = found || (rc == TL_OK && compare(&have, &value) == 0);
        } while (rc == TL_OK && tl_filter_accept_sign(&d->p, ","));
        if (rc == TL_OK && !tl_filter_accept_sign(&d->p, ")")) {
            rc = tl_filter_fail(&d->p, "')'");
        }
        *out = found != negated;
        return rc;
    }
    if (kind == TEXT && tl_filter_accept_word(&d->p, "STARTS_WITH")) {
        rc = read_value(d, kind, &value);
        *out = (rc == TL_OK && starts_with(have.text, value.text)) != negated;
        return rc;
    }
    if (!negated && tl_filter_accept_word(&d->p, "BETWEEN")) {
        rc = read_value(d, kind, &value);
        if (rc == TL_OK && !tl_filter_accept_word(&d->p, "AND")) {
            rc = tl_filter_fail(&d->p, "AND");
        }
        rc = rc == TL_OK ? read_value(d, kind, &last) : rc;
        *out = rc == TL_OK && compare(&have, &value) >= 0 && compare(&have, &last) <= 0;
        return rc;
    }
    return tl_filter_fail(&d->p, "=, !=, <, <=, >, >=, IN, STARTS_WITH or BETWEEN");
}

static tl_rc read_condition(struct decision *d, bool *out)
{
    static const struct {
        const char *sign;
        bool less, equal, more;
    } signs[] = {{"=", false, true, false}, {"!=", true, false, true}, {"<>", true, false, true},
                 {"<=", true, true, false}, {">=", false, true, true}, {"<", true, false, false},
                 {">", false, false, true}};
    struct operand value;
    size_t field = 0;
    tl_rc rc = read_field(d, &field);
    if (rc != TL_OK) {
        return rc;
    }
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        if (tl_filter_accept_sign(&d->p, signs[i].sign)) {
            rc = read_value(d, fields[field].kind, &value);
            struct operand have = field_of(d->w, field);
            int c = rc == TL_OK ? compare(&have, &value) : 0;
            *out = c < 0 ? signs[i].less : c > 0 ? signs[i].more : signs[i].equal;
            return rc;
        }
    }
    bool negated = tl_filter_accept_word(&d->p, "NOT");
    return read_words(d, field, negated, out);
}

static tl_rc read_or(struct decision *d, bool *out);

static tl_rc read_not(struct decision *d, bool *out)
{
    bool negated = false;
    while (tl_filter_accept_word(&d->p, "NOT")) {
        negated = !negated;
    }
    tl_rc rc;
    if (!tl_filter_accept_sign(&d->p, "(")) {
        rc = read_condition(d, out);
    } else if (++d->p.depth > DEPTH_MAX) {
        rc = tl_filter_fail(&d->p, "fewer parentheses");
    } else {
        rc = read_or(d, out);
        d->p.depth--;
        if (rc == TL_OK && !tl_filter_accept_sign(&d->p, ")")) {
            rc = tl_filter_fail(&d->p, "')'");
        }
    }
    *out = *out != negated;
    return rc;
}

static tl_rc read_and(struct decision *d, bool *out)
{
    bool right = false;
    tl_rc rc = read_not(d, out);
    while (rc == TL_OK && tl_filter_accept_word(&d->p, "AND")) {
        rc = read_not(d, &right);
        *out = *out && right;
    }
    return rc;
}

static tl_rc read_or(struct decision *d, bool *out)
{
    bool right = false;
    tl_rc rc = read_and(d, out);
    while (rc == TL_OK && tl_filter_accept_word(&d->p, "OR")) {
        rc = read_and(d, &right);
        *out = *out || right;
    }
    return rc;
}

tl_rc tl_worker_filter(struct tl_str text, const TpWorker__WorkerHeartbeat *worker,
                       struct tl_arena *arena, bool *out, struct tl_error *err)
{
    struct decision d = {.p = {.in = text, .arena = arena, .err = err}, .w = worker};
    *out = true;
    tl_filter_next(&d.p);
    if (d.p.token == TL_T_END) {
        return TL_OK;
    }
    *out = false;
    tl_rc rc = read_or(&d, out);
    return rc == TL_OK && d.p.token != TL_T_END ? tl_filter_fail(&d.p, "AND, OR or the end") : rc;
}
