/* History files. See history_json.h. Thread: any. */
#include "proto/history_json.h"

#include <temporal/api/workflowservice/v1/request_response.pb-c.h>

#include "proto/json.h"
#include "proto/pb.h"

/* First byte that is not white space; 0 for an empty text. A JSON history begins with a brace or a
 * bracket; a message begins with the tag of field 1, which is white space (a line feed): the byte
 * behind it, a length, tells nothing, so JSON is tried first. */
static char first_byte(struct tl_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!strchr(" \t\r\n", s.p[i]) || s.p[i] == 0) {
            return s.p[i];
        }
    }
    return 0;
}

/* The member that the object begins with decides between a history and a response around one. */
static bool has_member(struct tl_str file, const char *name)
{
    struct tl_jreader r;
    struct tl_jtok t;
    bool found = false;
    tl_jreader_init(&r, file, 0, TL_JSON_DEPTH_CEILING);
    tl_rc rc = tl_jtok_next(&r, &t, NULL);
    while (rc == TL_OK && !found && t.kind != TL_J_END) {
        rc = tl_jtok_next(&r, &t, NULL);
        found = rc == TL_OK && t.kind == TL_J_NAME && r.depth == 1 && tl_str_eqc(t.text, name);
    }
    tl_jreader_deinit(&r);
    return found;
}

static tl_rc read_array(struct tl_str file, const struct tl_json_read_options *options,
                        struct tl_arena *arena, TpHistory__History **out, struct tl_error *err)
{
    static const char HEAD[] = "{\"events\":";
    size_t head = sizeof HEAD - 1;
    char *text = tl_arena_alloc(arena, file.n + head + 1);
    if (!text) {
        return tl_error_set(err, TL_ELIMIT, "no memory left for the history");
    }
    memcpy(text, HEAD, head);
    memcpy(text + head, file.p, file.n);
    text[head + file.n] = '}';
    return tl_json_read(&tp_history__history__descriptor, tl_str_n(text, file.n + head + 1),
                        options, arena, out, err);
}

static tl_rc read_json(struct tl_str file, struct tl_arena *arena, TpHistory__History **out,
                       struct tl_error *err)
{
    static const struct tl_json_read_options OPTIONS = {.ignore_unknown = true};
    if (first_byte(file) == '[') {
        return read_array(file, &OPTIONS, arena, out, err);
    }
    if (has_member(file, "events") || !has_member(file, "history")) {
        return tl_json_read(&tp_history__history__descriptor, file, &OPTIONS, arena, out, err);
    }
    TpWs__GetWorkflowExecutionHistoryResponse *response;
    tl_rc rc = tl_json_read(&tp_ws__get_workflow_execution_history_response__descriptor, file,
                            &OPTIONS, arena, &response, err);
    if (rc == TL_OK && !response->history) {
        rc = tl_error_set(err, TL_EDECODE, "the file holds no history");
    }
    if (rc == TL_OK) {
        *out = response->history;
    }
    return rc;
}

static tl_rc check_events(const TpHistory__History *history, struct tl_error *err)
{
    if (history->n_events == 0) {
        return tl_error_set(err, TL_EDECODE, "the history has no events");
    }
    int64_t first = history->events[0]->event_id;
    if (first < 1) {
        return tl_error_set(err, TL_EDECODE, "the first event has the id %lld", (long long)first);
    }
    for (size_t i = 0; i < history->n_events; i++) {
        int64_t id = history->events[i]->event_id;
        if (id - first != (int64_t)i) {
            return tl_error_set(err, TL_EDECODE, "event %zu of the file has the id %lld, not %lld",
                                i + 1, (long long)id, (long long)(first + (int64_t)i));
        }
    }
    return TL_OK;
}

tl_rc tl_history_read(struct tl_str file, struct tl_arena *arena, TpHistory__History **out,
                      struct tl_error *err)
{
    char first = first_byte(file);
    TpHistory__History *history = NULL;
    tl_rc rc;
    if (first == 0) {
        return tl_error_set(err, TL_EDECODE, "the history is empty");
    }
    bool json = first == '{' || first == '[';
    if (json) {
        rc = read_json(file, arena, &history, err);
        /* "\n{": also the beginning of a message whose first event is 123 bytes long. */
        if (rc == TL_EDECODE && file.p[0] == '\n' &&
            tl_pb_decode(&tp_history__history__descriptor, file, arena, &history, NULL) == TL_OK) {
            rc = TL_OK;
        }
    } else {
        rc = tl_pb_decode(&tp_history__history__descriptor, file, arena, &history, err);
    }
    if (rc == TL_OK) {
        rc = check_events(history, err);
    }
    if (rc == TL_OK) {
        *out = history;
    }
    return rc;
}

tl_rc tl_history_write_json(const TpHistory__History *history, struct tl_buf *out,
                            struct tl_error *err)
{
    static const struct tl_json_write_options OPTIONS = {.pretty = true};
    return tl_json_write(history, &OPTIONS, out, err);
}
