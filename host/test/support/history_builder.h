/* Builds histories for tests, event by event, as the server writes them: ids count up from 1, one
 * second passes with each event, workflow task events refer to each other.
 * Ownership: everything lives in the arena. Thread: tests. */
#pragma once

#include <temporal/api/workflowservice/v1/request_response.pb-c.h>

#include "base/arena.h"
#include "proto/pb.h"

struct tl_hb {
    struct tl_arena *arena;
    struct tl_pb_list events;
    int64_t first_id; /* of the first event kept (partial histories) */
    int64_t time_ns;
    int64_t scheduled_id; /* of the current workflow task */
    int64_t started_id;
    int64_t previous_started_id; /* of the last completed task */
    const char *sdk_name;        /* recorded by the first completed task; NULL: no metadata */
    uint32_t flags[8];           /* recorded with it */
    size_t flag_count;
    bool metadata_written;
};

/* sdk_name "temporal-lua" with flags 1, 2, 3. */
void tl_hb_init(struct tl_hb *hb, struct tl_arena *arena);

/* The next event with empty attributes of its type. */
TpHistory__HistoryEvent *tl_hb_add(struct tl_hb *hb, int event_type);
int64_t tl_hb_last_id(const struct tl_hb *hb);
TpHistory__HistoryEvent *tl_hb_event(const struct tl_hb *hb, int64_t event_id);

void tl_hb_start(struct tl_hb *hb, const char *workflow_type);
/* Workflow tasks. */
void tl_hb_task_scheduled(struct tl_hb *hb);
void tl_hb_task_started(struct tl_hb *hb);
void tl_hb_task_completed(struct tl_hb *hb);
void tl_hb_task_failed(struct tl_hb *hb, int cause, const char *new_run_id);
void tl_hb_task_timed_out(struct tl_hb *hb);
void tl_hb_task(struct tl_hb *hb);      /* scheduled, started */
void tl_hb_full_task(struct tl_hb *hb); /* scheduled, started, completed */

/* What begins something returns its event id. */
int64_t tl_hb_timer_started(struct tl_hb *hb, const char *id);
void tl_hb_timer_fired(struct tl_hb *hb, int64_t started_event_id);
void tl_hb_timer_canceled(struct tl_hb *hb, int64_t started_event_id);
int64_t tl_hb_activity_scheduled(struct tl_hb *hb, const char *id, const char *type);
void tl_hb_activity_started(struct tl_hb *hb, int64_t scheduled_event_id);
void tl_hb_activity_completed(struct tl_hb *hb, int64_t scheduled_event_id, const char *result);
void tl_hb_activity_failed(struct tl_hb *hb, int64_t scheduled_event_id, const char *message);
void tl_hb_activity_timed_out(struct tl_hb *hb, int64_t scheduled_event_id);
void tl_hb_activity_cancel_requested(struct tl_hb *hb, int64_t scheduled_event_id);
void tl_hb_activity_canceled(struct tl_hb *hb, int64_t scheduled_event_id);
int64_t tl_hb_child_initiated(struct tl_hb *hb, const char *id, const char *type);
int64_t tl_hb_signal_initiated(struct tl_hb *hb, const char *id, const char *signal_name);
int64_t tl_hb_cancel_initiated(struct tl_hb *hb, const char *id);
int64_t tl_hb_nexus_scheduled(struct tl_hb *hb, const char *operation); /* at pay/payments */
/* Any event that names its initiating event; for children and Nexus operations also run id "child-run",
 * token "token", result, failure with message `with` (NULL: none of them). */
void tl_hb_follow(struct tl_hb *hb, int event_type, int64_t initiated_event_id, const char *with);
void tl_hb_signaled(struct tl_hb *hb, const char *name);
void tl_hb_cancel_requested(struct tl_hb *hb, const char *cause);
void tl_hb_patch(struct tl_hb *hb, const char *id, bool deprecated);
void tl_hb_patch_old_form(struct tl_hb *hb, const char *id, bool deprecated);
void tl_hb_patch_upsert(struct tl_hb *hb);
void tl_hb_marker(struct tl_hb *hb, const char *name);
/* A local activity's marker as the official core writes it; index < 0: as older ones did. result NULL:
 * it failed; "!": it was canceled; "~": it failed and is tried again after a timer of 50 ms. */
void tl_hb_local(struct tl_hb *hb, unsigned seq, const char *type, int index, const char *result);
/* As Go writes it. */
void tl_hb_local_go(struct tl_hb *hb, const char *id, const char *type, const char *result);

/* All events so far. */
TpHistory__History *tl_hb_history(const struct tl_hb *hb);
/* A poll's response with the events from first_event_id on; previous started is that of the last
 * completed task, started that of the current one. first_event_id 0: none at all. */
TpWs__PollWorkflowTaskQueueResponse *tl_hb_poll(const struct tl_hb *hb, int64_t first_event_id);
/* The same for a direct query. */
TpWs__PollWorkflowTaskQueueResponse *tl_hb_query(const struct tl_hb *hb, int64_t first_event_id,
                                                 const char *query_type);
/* Adds an entry to the task's queries. */
void tl_hb_poll_add_query(const struct tl_hb *hb, TpWs__PollWorkflowTaskQueueResponse *poll,
                          const char *id, const char *query_type);

/* --- updates: `id` is also the protocol instance's, `name` what script_lang.c goes by ----------- */

/* name NULL: without the request, as after UpdateAdmitted. */
int64_t tl_hb_update_accepted(struct tl_hb *hb, const char *id, const char *name,
                              int64_t sequencing_event_id);
void tl_hb_update_completed(struct tl_hb *hb, const char *id, int64_t accepted_event_id);
void tl_hb_update_admitted(struct tl_hb *hb, const char *id, const char *name);
/* Adds a request to the task's messages. */
void tl_hb_poll_add_update(const struct tl_hb *hb, TpWs__PollWorkflowTaskQueueResponse *poll,
                           const char *id, const char *name);
