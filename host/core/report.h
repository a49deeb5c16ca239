/* What is known when a run's code and its history disagree: both sides, where, and what to do.
 * Ownership: everything lives in the arena given to the task or replay. Thread: any. */
#pragma once

#include "base/buf.h"
#include "base/str.h"

enum tl_nde_kind {
    TL_NDE_ADDED,       /* the code makes a command that history does not have */
    TL_NDE_REMOVED,     /* history has an event whose command the code no longer makes */
    TL_NDE_REORDERED,   /* the same commands in another order */
    TL_NDE_CHANGED,     /* the same place, another type or id */
    TL_NDE_ENDED_EARLY, /* the code ends the run, history goes on */
    TL_NDE_ENDED_LATE,  /* history ends the run, the code goes on */
    TL_NDE_STATE,       /* an event or command that the machine's state does not allow */
    TL_NDE_HISTORY,     /* the history itself is not valid */
};

/* An event of the history, or a command of the code. */
struct tl_nde_side {
    const char *type;         /* "ActivityTaskScheduled", "StartTimer"; NULL: there is none */
    int event_type;           /* EVENT_TYPE_*, of a command the event it becomes */
    int64_t event_id;         /* 0 for a command */
    struct tl_str id;         /* activity id, timer id, patch id, marker name */
    struct tl_str name;       /* activity type, workflow type */
    struct tl_str where;      /* "file:line" of the call; empty when unknown */
    struct tl_str duration;   /* of a timer, in seconds: "90", "0.5" */
    struct tl_str attributes; /* as JSON; empty when there are none */
};

struct tl_nde_report {
    enum tl_nde_kind kind;
    struct tl_str workflow_type, workflow_id, run_id;
    int64_t task_started_event_id;   /* of the workflow task whose code made the command */
    struct tl_nde_side expected;     /* what history has */
    struct tl_nde_side produced;     /* what the code made */
    struct tl_nde_side near_command; /* a later command of the code that fits `expected` */
    struct tl_nde_side near_event;   /* a later event of the history that fits `produced` */
    struct tl_nde_side previous; /* the last event whose command did fit, and where that was made */
    struct tl_str detail;        /* one sentence: what was found */
    struct tl_str suggestion;    /* one sentence: what to do */
    struct tl_str patch;         /* the same as lines of Lua; empty when code cannot help */
    /* "file:line" of what ran last, oldest first; none when the language did not trace. */
    const struct tl_str *trace;
    size_t trace_count;
};

const char *tl_nde_kind_name(enum tl_nde_kind kind); /* "command_added" */
/* Appends the report as lines for people, attributes cut where they are long. False at the buffer's ceiling. */
bool tl_nde_report_text(const struct tl_nde_report *report, struct tl_buf *out);
/* Appends the report as one JSON object. False at the buffer's ceiling. */
bool tl_nde_report_json(const struct tl_nde_report *report, struct tl_buf *out);
