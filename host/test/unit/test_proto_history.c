/* Goal: a history file reads the same whichever tool wrote it, and writing it loses nothing.
 * Method: the files under spec/fixtures/histories in three spellings; hand-made broken ones. */
#include "test_proto_fixture.h"

#include "proto/failure.h"
#include "proto/history_json.h"
#include "proto/json.h"
#include "proto/payload.h"
#include "proto/pb.h"
#include "tl_enums.h"

static struct tl_str load(const char *name)
{
    char path[512];
    char chunk[4096];
    struct tl_buf text;
    snprintf(path, sizeof path, "%s/spec/fixtures/histories/%s", TL_SOURCE_DIR, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    tl_buf_init(&text, 1 << 20);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;) {
        assert_true(tl_buf_put(&text, chunk, n));
    }
    fclose(f);
    struct tl_str s = tl_arena_str(&arena, tl_buf_str(&text));
    tl_buf_deinit(&text);
    return s;
}

static TpHistory__History *read_file(struct tl_str text)
{
    TpHistory__History *h = NULL;
    if (tl_history_read(text, &arena, &h, &err)) {
        fail_msg("%s", err.message);
    }
    return h;
}

static const char *const FILES[] = {
    "greeting_completed.json",
    "order_failed_old_spelling.json",
    "subscription_continued_snake.json",
};

static void files_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        TpHistory__History *h = read_file(load(FILES[i]));
        struct tl_str first;
        struct tl_str again;
        assert_int_equal(tl_pb_encode_arena(h, &arena, &first, &err), TL_OK);
        tl_buf_clear(&out);
        assert_int_equal(tl_history_write_json(h, &out, &err), TL_OK);
        assert_int_equal(tl_pb_encode_arena(read_file(tl_buf_str(&out)), &arena, &again, &err),
                         TL_OK);
        assert_true(tl_str_eq(first, again));
        /* Raw protobuf is a history file too. */
        assert_int_equal(tl_pb_encode_arena(read_file(first), &arena, &again, &err), TL_OK);
        assert_true(tl_str_eq(first, again));
        /* And so is the bare list of events. */
        TpHistory__History *bare = read_file(tl_buf_str(&out));
        tl_buf_clear(&out);
        tl_buf_putc(&out, '[');
        for (size_t k = 0; k < bare->n_events; k++) {
            tl_buf_puts(&out, k ? ",\n" : "");
            assert_int_equal(tl_json_write(bare->events[k], NULL, &out, &err), TL_OK);
        }
        tl_buf_putc(&out, ']');
        assert_int_equal(tl_pb_encode_arena(read_file(tl_buf_str(&out)), &arena, &again, &err),
                         TL_OK);
        assert_true(tl_str_eq(first, again));
    }
}

static void export_is_byte_for_byte(void **state)
{
    (void)state;
    struct tl_str text = load("greeting_completed.json");
    assert_int_equal(tl_history_write_json(read_file(text), &out, &err), TL_OK);
    tl_buf_putc(&out, '\n');
    assert_string_equal(out.p, text.p);
}

static void contents_are_understood(void **state)
{
    (void)state;
    TpHistory__History *h = read_file(load("greeting_completed.json"));
    assert_int_equal(h->n_events, 13);
    assert_int_equal(h->events[0]->event_type, EVENT_TYPE_WORKFLOW_EXECUTION_STARTED);
    TpHistory__WorkflowExecutionStartedEventAttributes *started =
        h->events[0]->workflow_execution_started_event_attributes;
    assert_string_equal(started->workflow_type->name, "Greeting");
    assert_int_equal(started->input->n_payloads, 2);
    assert_true(tl_str_eqc(tl_payload_data(started->input->payloads[1]), "3"));
    assert_int_equal(
        h->events[4]->activity_task_scheduled_event_attributes->retry_policy->maximum_attempts, 5);

    h = read_file(load("order_failed_old_spelling.json"));
    TpHistory__HistoryEvent *last = h->events[h->n_events - 1];
    assert_int_equal(last->event_type, EVENT_TYPE_WORKFLOW_EXECUTION_FAILED);
    const TpFailure__Failure *root = last->workflow_execution_failed_event_attributes->failure;
    while (root->cause) {
        root = root->cause;
    }
    assert_string_equal(root->message, "no van");
    assert_int_equal(last->workflow_execution_failed_event_attributes->retry_state,
                     RETRY_STATE_RETRY_POLICY_NOT_SET);
    assert_int_equal(
        h->events[5]
            ->start_child_workflow_execution_initiated_event_attributes->parent_close_policy,
        PARENT_CLOSE_POLICY_ABANDON);

    h = read_file(load("subscription_continued_snake.json"));
    assert_int_equal(h->events[0]->workflow_execution_started_event_attributes->initiator,
                     CONTINUE_AS_NEW_INITIATOR_WORKFLOW);
    assert_int_equal(
        h->events[5]->activity_task_scheduled_event_attributes->input->payloads[0]->data.len, 4);
}

static void refused(const char *text, size_t n)
{
    TpHistory__History *h = NULL;
    err.message[0] = 0;
    assert_int_equal(tl_history_read(tl_str_n(text, n), &arena, &h, &err), TL_EDECODE);
    assert_null(h);
    assert_int_not_equal(err.message[0], 0);
}

static void broken_files_are_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "",
        "   \n",
        "{}",
        "[]",
        "{\"events\":[]}",
        "{\"events\":{}}",
        "{\"history\":null}",
        "nonsense",
        "{\"events\":[{\"eventId\":\"1\"},{\"eventId\":\"3\"}]}",
        "{\"events\":[{\"eventId\":\"0\"}]}",
        "{\"events\":[{\"eventId\":\"1\"}]",
        "[{\"eventId\":2},",
        "{\"events\":[{\"eventId\":\"1\",\"eventTime\":\"yesterday\"}]}",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        refused(BAD[i], strlen(BAD[i]));
    }
    refused("\x0a\x00", 2);
    refused("\x0a\x05\x08\x01", 4);
    refused("\x00", 1);
}

static void binary_that_looks_like_json(void **state)
{
    (void)state;
    /* An event of 123 bytes: the file begins with a line feed and a brace. */
    TpHistory__History h = TP_HISTORY__HISTORY__INIT;
    TpHistory__HistoryEvent e = TP_HISTORY__HISTORY_EVENT__INIT;
    TpHistory__HistoryEvent *events[] = {&e};
    TpHistory__MarkerRecordedEventAttributes marker =
        TP_HISTORY__MARKER_RECORDED_EVENT_ATTRIBUTES__INIT;
    char name[128];
    struct tl_str bytes;
    h.n_events = 1;
    h.events = events;
    e.event_id = 1;
    e.attributes_case = TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_MARKER_RECORDED_EVENT_ATTRIBUTES;
    e.marker_recorded_event_attributes = &marker;
    marker.marker_name = name;
    size_t n = 0;
    do {
        memset(name, 'm', sizeof name);
        name[++n] = 0;
        assert_int_equal(tl_pb_encode_arena(&h, &arena, &bytes, &err), TL_OK);
    } while (bytes.p[1] != '{');
    assert_int_equal(read_file(bytes)->n_events, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(files_round_trip),         T(export_is_byte_for_byte),     T(contents_are_understood),
        T(broken_files_are_refused), T(binary_that_looks_like_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
