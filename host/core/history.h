/* A workflow's history as the engine sees it: what each event is, and how events are grouped into
 * logical workflow tasks. A group ends with the WorkflowTaskStarted whose task ran the code; failed
 * and timed-out tasks and empty heartbeat tasks are joined with the group that follows.
 * Ownership: borrows the events. Thread: one at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <temporal/api/history/v1/message.pb-c.h>

#include "base/str.h"

enum tl_event_class {
    TL_EVENT_UNKNOWN, /* a type this engine does not know */
    TL_EVENT_START,
    TL_EVENT_TASK,
    TL_EVENT_COMMAND,
    TL_EVENT_FOLLOW,
    TL_EVENT_JOB,
    TL_EVENT_END,
    TL_EVENT_PASS,
};

struct tl_event_info {
    const char *text; /* "TimerStarted" */
    uint8_t event_class;
    uint8_t machine;          /* enum tl_machine_kind */
    uint16_t link_offset;     /* of the initiating event id in the attributes; 0: none */
    uint16_t attributes_case; /* the only one that goes with the type */
};

/* Never NULL; unknown types give a row of class TL_EVENT_UNKNOWN. */
const struct tl_event_info *tl_event_info(int event_type);
/* Type, attributes case and attributes pointer fit together. */
bool tl_event_valid(const TpHistory__HistoryEvent *event);
/* Id of the event that began what this one belongs to; 0 when it names none. */
int64_t tl_event_link(const TpHistory__HistoryEvent *event);
/* The run ends with this event. */
bool tl_event_closes(int event_type);

struct tl_history {
    TpHistory__HistoryEvent *const *events; /* borrowed */
    size_t count;
    bool complete;   /* nothing follows: the rest after the last boundary is a group too */
    size_t pos;      /* private: first event not taken */
    size_t peek_end; /* private: end of the next group; 0: not known */
};

struct tl_history_group {
    size_t first, end; /* events[first .. end) */
    bool last;         /* nothing is left after it and the history is complete */
};

void tl_history_init(struct tl_history *h, TpHistory__HistoryEvent *const *events, size_t count,
                     bool complete);
/* Takes the next group after the WorkflowTaskStarted with id started_event_id. False: no group. */
bool tl_history_take(struct tl_history *h, int64_t started_event_id, struct tl_history_group *out);
/* The group that the next take will return, without taking it. Call after tl_history_take. */
bool tl_history_peek(struct tl_history *h, int64_t started_event_id, struct tl_history_group *out);
/* The first WorkflowTaskCompleted at or after index; NULL when there is none. */
const TpHistory__WorkflowTaskCompletedEventAttributes *
tl_history_next_completed(const struct tl_history *h, size_t index);
