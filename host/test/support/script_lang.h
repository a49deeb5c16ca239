/* A language for tests: a workflow is a list of steps run in order; a step that waits stops until
 * its job has come. What the engine tells it is kept as text.
 * Ownership: the caller's. Thread: tests. */
#pragma once

#include "core/activation.h"

enum tl_step_op {
    TL_DO_TIMER = 1,       /* starts timer, next number; name: its id or NULL */
    TL_DO_WAIT_TIMER,      /* n */
    TL_DO_CANCEL_TIMER,    /* n */
    TL_DO_ACTIVITY,        /* name: type; n: enum tl_cancellation_type; id: its id or NULL */
    TL_DO_WAIT_ACTIVITY,   /* n */
    TL_DO_CANCEL_ACTIVITY, /* n */
    TL_DO_LOCAL,           /* as ACTIVITY; WAIT_ACTIVITY waits for it */
    TL_DO_CANCEL_LOCAL,    /* n */
    TL_DO_CHILD,           /* name: type; n: enum tl_cancellation_type; id: its workflow id */
    TL_DO_WAIT_CHILD,      /* n; its end, or that it will never start */
    TL_DO_CANCEL_CHILD,    /* n */
    TL_DO_SIGNAL,          /* name: the signal; id: the target's workflow id */
    TL_DO_WAIT_SIGNAL,     /* n */
    TL_DO_CANCEL_SIGNAL,   /* n */
    TL_DO_CANCEL_OTHER,    /* id: the target's workflow id */
    TL_DO_NEXUS,           /* name: the operation, at "pay"/"payments"; n: cancellation */
    TL_DO_WAIT_NEXUS,      /* n */
    TL_DO_CANCEL_NEXUS,    /* n */
    TL_DO_WAIT_SIGNALS,    /* until n have come */
    TL_DO_WAIT_UPDATES,    /* until n have come; see take_update for what is done with them */
    TL_DO_ANSWER,          /* name: id of an update; completes it */
    TL_DO_FAIL_UPDATE,     /* likewise, with a failure */
    TL_DO_WAIT_CANCEL,
    TL_DO_PATCH,     /* name; when patched() is false the next n steps are skipped */
    TL_DO_DEPRECATE, /* name */
    TL_DO_UPSERT,    /* name: attribute, one value */
    TL_DO_PROPERTIES,
    TL_DO_MARKER, /* name */
    TL_DO_COMPLETE,
    TL_DO_FAIL,
    TL_DO_CANCELED,
    TL_DO_CONTINUE_AS_NEW,
    TL_DO_RAISE,         /* the activation fails with TL_ESCRIPT */
    TL_DO_BAD_NUMBER,    /* starts timer number 1 again */
    TL_DO_NOTHING_ATTRS, /* a timer without attributes */
};

struct tl_step {
    enum tl_step_op op;
    const char *name;
    unsigned n;
    const char *id;
};
/* TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(COMPLETE)) */
#define DO(what, ...)                                                                              \
    {                                                                                              \
        .op = TL_DO_##what, __VA_ARGS__                                                            \
    }
#define TL_STEPS(...) ((const struct tl_step[]){__VA_ARGS__, {.op = 0}})

#define TL_SCRIPT_MAX 64
struct tl_script {
    const struct tl_step *steps; /* ends with op 0 */
    unsigned at;
    uint32_t timer_seq, activity_seq, child_seq, signal_seq, cancel_seq, nexus_seq;
    bool child_over[TL_SCRIPT_MAX];
    bool signal_over[TL_SCRIPT_MAX];
    bool nexus_over[TL_SCRIPT_MAX];
    bool fired[TL_SCRIPT_MAX];
    bool resolved[TL_SCRIPT_MAX];
    char patches[TL_SCRIPT_MAX][32];
    unsigned patch_count;
    unsigned signals, updates;
    bool cancelled;
    bool query_fails;  /* queries are answered with a failure */
    bool query_breaks; /* a query makes the activation fail */
    bool query_silent; /* queries get no answer */
    int64_t now_ns;    /* of the last activation */
    int64_t history_length;
    bool suggested;
    uint64_t seed;
    unsigned activations;
    char log[4096]; /* "init|signal a,timer 1|query q?" : activations by |, ? when replaying */
};

void tl_script_init(struct tl_script *s, const struct tl_step *steps);
struct tl_lang tl_script_lang(struct tl_script *s);
