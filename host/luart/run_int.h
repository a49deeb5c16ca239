/* Inside of host/luart: the record of one run, its fibers and futures, and what its files call of
 * each other. Owner: tl_lua_run owns its heap; everything below lives in that heap.
 * Thread: the one that drives the run. */
#pragma once

#include <setjmp.h>
#include <stdatomic.h>

#include "base/rng.h"
#include "luart/convert.h"
#include "luart/heap.h"
#include "luart/luart.h"
#include "luart/sandbox_fns.h"
#include "luart/vm/vm.h"
#include "luart/vm/without.h"
#include "luart/watchdog_int.h"

/* --- where Lua values of the run are kept: slots of the main thread's stack ---------------------
 * No function is ever called on the main thread, so that the slots keep their indices. */

enum tl_slot {
    TL_SLOT_LIBS = 1, /* protected tables by enum tl_lib */
    TL_SLOT_LIB_META, /* their one metatable */
    TL_SLOT_FIBERS,   /* fiber number -> userdata, while it lives */
    TL_SLOT_PENDING,  /* future key -> userdata, until it is resolved */
    TL_SLOT_MODULES,  /* module name -> value */
    TL_SLOT_SIGNALS,  /* name (true: dynamic) -> handler, see handlers.c */
    TL_SLOT_QUERIES,
    TL_SLOT_UPDATES,
    TL_SLOT_BUFFERED,     /* list of { name, encoded event: input and header, event id } */
    TL_SLOT_RUN,          /* the workflow function */
    TL_SLOT_DEFINITION,   /* its definition table, when it had one */
    TL_SLOT_SELF,         /* what init returned */
    TL_SLOT_PATCHES,      /* id -> true (use it), false (do not), "seen" (in history) */
    TL_SLOT_IDS,          /* object -> number in tostring */
    TL_SLOT_QUERY_IDS,    /* the same for the query under way */
    TL_SLOT_NEXT,         /* cached snapshot of next() */
    TL_SLOT_STARTED,      /* encoded started attributes without the input */
    TL_SLOT_MEMO,         /* upserted memo fields: name -> encoded payload */
    TL_SLOT_SEARCH,       /* upserted search attributes */
    TL_SLOT_DETAILS,      /* current details */
    TL_SLOT_SIDE_EFFECTS, /* { calls =, last =, [number] = encoded values from history } */
    TL_SLOT_MUTABLE,      /* id -> what is known of a mutable side effect, see wf_marker.c */
    TL_SLOT_VERSIONS,     /* change id -> version; text: in history, not called yet */
    TL_SLOT_CANCEL_REASON,
    TL_SLOT_INTERCEPTORS,   /* hooks by name, see intercept.c; nil: there are none */
    TL_SLOT_HOST,           /* { io =, os = } outside of the sandbox */
    TL_SLOT_GROUPS,         /* coroutine or future -> its event groups, see wf_event_group.c */
    TL_SLOT_EXTERN,         /* name -> function of the host, see wf_extern.c; nil: there are none */
    TL_SLOT_SEED_CALLBACKS, /* list of functions */
    TL_SLOT_CONTEXT,        /* what converters are told, see converters.c */
    TL_SLOT_CONTEXTS,       /* future -> what they are told of its result */
    TL_SLOT_AUX,            /* the coroutine for calls outside of fibers */
    TL_SLOT_COUNT = TL_SLOT_AUX
};

/* --- futures and fibers ------------------------------------------------------------------------- */

enum tl_future_kind {
    TL_FUTURE_TIMER,
    TL_FUTURE_ACTIVITY,
    TL_FUTURE_CHILD,       /* its end; user value 2 is its workflow id, 3 its run id once started */
    TL_FUTURE_CHILD_START, /* the same number; its value is the future of the end */
    TL_FUTURE_SIGNAL,      /* delivery to another run */
    TL_FUTURE_CANCEL,      /* of another run, likewise */
    TL_FUTURE_NEXUS,       /* end of a Nexus operation; user value 2 is its token once started */
    TL_FUTURE_NEXUS_START, /* the same number; its value is the future of the end */
    TL_FUTURE_FIBER,
    TL_FUTURE_USER, /* workflow.future, and the waiters of sync.h */
    TL_FUTURE_KIND_COUNT
};
enum tl_future_state { TL_FUTURE_PENDING, TL_FUTURE_DONE, TL_FUTURE_FAILED };

struct tl_future;
struct tl_fiber;

/* A fiber waiting for a future: a node in the future's list. */
struct tl_wait {
    struct tl_fiber *fiber;
    struct tl_future *future; /* NULL: not linked */
    struct tl_wait *prev, *next;
};

/* Payload of a future's userdata; user value 1 holds the result (a table with n when several) or
 * the error. */
struct tl_future {
    uint8_t kind, state;
    bool cancel_requested;
    bool several;         /* the result is a table.pack */
    uint8_t cancellation; /* enum tl_cancellation_type, of activities, children, Nexus operations */
    bool
        signal_start; /* a Nexus operation: a signal-with-start; user value 3 is the workflow's id */
    bool local;       /* a local activity; a timer: its pause between two attempts */
    uint32_t attempt;   /* local, in a pause: the next one */
    uint32_t timer_seq; /* local: the timer of its pause; 0: none */
    int64_t original_schedule_ns;
    uint32_t seq;        /* number among those of its kind */
    uint64_t done_order; /* position among the resolved */
    struct tl_wait *waits;
};

enum tl_fiber_kind {
    TL_FIBER_MAIN,
    TL_FIBER_SIGNAL,
    TL_FIBER_UPDATE,
    TL_FIBER_SPAWN,
    TL_FIBER_QUERY
};
enum tl_fiber_status { TL_FIBER_READY, TL_FIBER_RUNNING, TL_FIBER_BLOCKED, TL_FIBER_DONE };
enum tl_wake { TL_WAKE_NONE, TL_WAKE_FUTURE, TL_WAKE_CONDITION, TL_WAKE_CANCEL, TL_WAKE_ERROR };

/* Payload of a fiber's userdata; user value 2 is its coroutine, 3 its name, 1 as for a future. */
enum {
    TL_FIBER_UPDATE_INFO = 4
}; /* { instance, id, name } of the update that it, or who spawned it, handles */
struct tl_fiber {
    struct tl_future future;
    lua_State *co;
    struct tl_fiber *ready_next;
    struct tl_fiber *prev, *next;           /* all that are not done, in order of creation */
    struct tl_fiber *cond_prev, *cond_next; /* those waiting for a condition */
    lua_State *await_co;                    /* the coroutine whose await blocks it */
    uint8_t kind, status, wake;
    bool cancel_pending; /* to be raised at its next await */
    bool owned;          /* who spawned it looks at its error */
    bool rejected;       /* UPDATE: its answer was given */
    bool abandon;        /* a handler that may be left unfinished without a warning */
    bool cancel_through; /* its cancellation went to the future it waits for */
    bool in_cond;
    bool forwards; /* blocked in future:result(): cancelling goes on */
    uint16_t shield;
    int64_t signal_event_id; /* of the signal that it, or who spawned it, handles; 0: none */
    int nargs;               /* values for its first resume */
    int cond_index;          /* of the predicate on await_co's stack; 0: cond_fn */
    bool (*cond_fn)(struct tl_lua_run *run, struct tl_fiber *f);
    void *cond_ud;
    struct tl_wait *waits; /* what it waits for: wait_two or a userdata's */
    int wait_count;
    struct tl_wait wait_two[2];
};

/* --- the run ------------------------------------------------------------------------------------ */

enum tl_phase {
    TL_PHASE_PROBE, /* a bundle is being opened: definitions are collected */
    TL_PHASE_LOAD,  /* the run's module is being loaded */
    TL_PHASE_RUN,
};

enum tl_lib {
    TL_LIB_G,
    TL_LIB_COROUTINE,
    TL_LIB_DEBUG,
    TL_LIB_IO,
    TL_LIB_MATH,
    TL_LIB_OS,
    TL_LIB_PACKAGE,
    TL_LIB_STRING,
    TL_LIB_TABLE,
    TL_LIB_UTF8,
    TL_LIB_TEMPORAL,
    TL_LIB_JSON,
    TL_LIB_WORKFLOW,
    TL_LIB_LOG,
    TL_LIB_UNSAFE,
    TL_LIB_ACTIVITY,
    TL_LIB_COUNT
};

/* Logic flags, recorded in the run's history: what decides the order in which fibers run. A new
 * order gets a new number, and runs that recorded the old one keep it. */
enum {
    TL_LANG_FLAG_FIFO = 1,
    TL_LANG_FLAG_WAIT_ALL_CANCELS = 2, /* cancelling a wait_all cancels what it waits for */
    TL_LANG_FLAG_TIMEOUT_HOOKS = 3,    /* interceptors see the timers of timeouts */
    TL_LANG_FLAG_CLOSE_CANCELS = 4,    /* coroutine.close of a blocked coroutine is true */
};

/* workflow.default_version: a run that passed a change before it was there. */
enum { TL_DEFAULT_VERSION = -1 };

struct tl_probe; /* bundle_probe.c: what opening a bundle collects */

struct tl_lua_run {
    struct tl_vm_heap heap;
    lua_State *main;
    struct tl_bundle *bundle;
    const struct tl_bundle_workflow *type; /* its type is empty when it is the dynamic one */
    struct tl_str workflow_type;           /* the type that was asked for */
    struct tl_probe *probe;                /* NULL but in TL_PHASE_PROBE */
    struct tl_lua_run_config config;       /* its strings are copies in the heap */
    const void *lib_tables[TL_LIB_COUNT];  /* addresses of the protected tables, NULL: not made */
    uint8_t phase;
    struct tl_str loading; /* the module whose chunk runs */
    bool lenient;          /* the module loading also holds worker or client code */
    bool dead;
    bool unsandboxed;         /* it has the host's io and os */
    bool sharing;             /* it evaluates pass-through modules */
    bool context_waits;       /* TL_SLOT_CONTEXT is for the next conversion */
    bool context_used;        /* and for the one under way */
    struct tl_vm_file *files; /* that it has open */
    bool finished;            /* the workflow has ended; only queries are answered */
    bool cancel_requested;
    bool replaying;
    bool started;          /* the workflow function has been called */
    const char *read_only; /* why commands and awaits are refused now; NULL: they are not */

    /* entering and abandoning */
    jmp_buf *abandon;
    tl_rc abandon_rc;
    char abandon_where[80];
    struct tl_error *task_error; /* of the activation under way */
    tl_rc task_rc;
    lua_State *volatile running;
    atomic_bool expired;
    uint64_t steps;

    /* the activation under way */
    const struct tl_activation *activation;
    struct tl_completion *out;
    struct tl_arena *arena; /* of the activation, or of the bundle being opened */
    int64_t now_ns, start_ns;
    int32_t attempt; /* of the run; 0: not started */
    uint64_t seed;   /* of rng, as the engine gave it last */
    struct tl_rng rng, query_rng;
    struct tl_rng *rng_now;
    const TpQuery__WorkflowQuery *query; /* under way */
    struct tl_str query_id;

    /* scheduling */
    struct tl_fiber *current;
    struct tl_fiber *ready, *ready_last;
    struct tl_fiber *fibers, *fibers_last;
    struct tl_fiber *conds, *conds_last;
    uint32_t fiber_seq;
    uint32_t future_seq[TL_FUTURE_KIND_COUNT]; /* highest numbers given */
    uint64_t done_seq;
    uint32_t handlers_running; /* fibers of signal and update handlers */
    bool warned_unfinished;
    uint32_t id_seq, query_id_seq; /* of tostring */
    /* Functions called apart in this workflow task, for their random numbers: counted from its start, since
     * on replay of the tasks before they were not called. */
    uint32_t side_effect_seq;
    int64_t history_length; /* of the last activation; queries aside */
};

/* Flags in the low bits of each coroutine's extra space, beside the run's address. */
#define TL_CO_AWAITING ((uintptr_t)1) /* an await inside it blocks a fiber */
#define TL_CO_FLAGS ((uintptr_t)15)

static inline uintptr_t *tl_co_word(lua_State *L)
{
    return (uintptr_t *)lua_getextraspace(L);
}
static inline struct tl_lua_run *tl_run_of(lua_State *L)
{
    return (struct tl_lua_run *)(*tl_co_word(L) & ~TL_CO_FLAGS);
}
static inline bool tl_co_awaiting(lua_State *L)
{
    return (*tl_co_word(L) & TL_CO_AWAITING) != 0;
}
static inline void tl_co_set_awaiting(lua_State *L, bool on)
{
    *tl_co_word(L) = (*tl_co_word(L) & ~TL_CO_AWAITING) | (on ? TL_CO_AWAITING : 0);
}

/* --- state.c: states, entering, abandoning ------------------------------------------------------ */

/* A run record with a fresh sandbox, on the frozen state `code` of a bundle, or on none. NULL: out of
 * memory. */
struct tl_lua_run *tl_state_new(const struct tl_lua_run_config *config, const lua_State *code,
                                struct tl_error *err);
void tl_state_free(struct tl_lua_run *run);
/* Makes *s a copy in the run's heap. False: no memory. */
bool tl_state_copy_text(struct tl_lua_run *run, struct tl_str *s);
/* Calls fn(run, ud) so that it can be abandoned: over its budget or its memory the call returns
 * here with TL_EDEADLOCK or TL_EMEMORY and the run is dead. */
tl_rc tl_state_enter(struct tl_lua_run *run, tl_rc (*fn)(struct tl_lua_run *run, void *ud),
                     void *ud, struct tl_error *err);
/* For loops in C: gives up when the budget is spent; `steps` counts towards it in simulation. */
void tl_state_tick(lua_State *L, uint32_t steps);
/* Says that co runs from now on, and returns who did before. */
lua_State *tl_state_switch(struct tl_lua_run *run, lua_State *co);
/* Pushes slot onto L; the value on top of L into slot (popped). */
void tl_slot_push(lua_State *L, struct tl_lua_run *run, enum tl_slot slot);
void tl_slot_set(lua_State *L, struct tl_lua_run *run, enum tl_slot slot);
/* Pushes the table in slot, made on first use. */
void tl_slot_table(lua_State *L, struct tl_lua_run *run, enum tl_slot slot);
/* A coroutine for calls that belong to no fiber (predicates, loading), made on first use. Nothing can
 * be awaited on it. */
lua_State *tl_state_aux(struct tl_lua_run *run);
/* "file:line" of the innermost Lua function running on L, "" when there is none. */
void tl_state_where(lua_State *L, char *out, size_t cap);

/* --- sandbox.c: names --------------------------------------------------------------------------- */

void tl_sandbox_open(lua_State *L, struct tl_lua_run *run); /* globals and string methods */
void tl_sandbox_push_lib(lua_State *L, struct tl_lua_run *run, enum tl_lib lib);
/* Makes all libraries with all their functions, for a state that is to be frozen. */
void tl_sandbox_fill(lua_State *L, struct tl_lua_run *run);
/* The library whose protected table is at index, -1 when it is none. */
int tl_sandbox_lib_of(lua_State *L, int index);
/* Pushes what a protected table has under the key at index; nil when nothing. */
void tl_sandbox_lookup(lua_State *L, int lib, int key_index);
/* Pushes the sorted list of names of a library; returns how many. */
int tl_sandbox_push_names(lua_State *L, int lib);
/* The VM's own string.format. */
lua_CFunction tl_sandbox_stock_format(void);
/* Pushes an object that stands for something a workflow cannot have (loading files that also hold
 * worker code): it absorbs everything while loading and raises while running. */
void tl_sandbox_push_inert(lua_State *L, const char *name);
/* Pushes the text of a value: numbers, strings, __tostring, "table: #3". */
const char *tl_sandbox_tostring(lua_State *L, int index, size_t *n);

/* --- sched.c: fibers, awaits -------------------------------------------------------------------- */

/* Makes a fiber that calls the function below nargs values on top of L (all popped), puts it last
 * in the ready queue and pushes its userdata. `name` may be NULL. */
struct tl_fiber *tl_fiber_new(lua_State *L, struct tl_lua_run *run, enum tl_fiber_kind kind,
                              int nargs, const char *name);
/* Runs until everything is blocked, the workflow has ended, or the task failed. */
void tl_sched_run(struct tl_lua_run *run);
/* Runs what is ready, without looking at conditions (queries). */
void tl_sched_run_ready(struct tl_lua_run *run);
void tl_fiber_push(lua_State *L, struct tl_lua_run *run, struct tl_fiber *f);
/* Asks for cancellation: raised at the await it is in, or at its next one. */
void tl_fiber_cancel(lua_State *L, struct tl_lua_run *run, struct tl_fiber *f);
/* Ends what the fiber waits for and puts it last in the ready queue; tl_await_end tells it why. */
void tl_fiber_wake(struct tl_lua_run *run, struct tl_fiber *f, enum tl_wake reason);

/* Refuses where nothing may be awaited (read-only, loading, inside a comparator), and raises a
 * pending cancellation. */
void tl_await_check(lua_State *L, const char *what);
/* Refuses where no command may be made. */
void tl_command_check(lua_State *L, const char *what);
/* Sets what the current fiber waits for: room for n futures (pushes a userdata when n > 2). */
void tl_await_room(lua_State *L, int n);
void tl_await_add(lua_State *L, struct tl_future *future);
/* Blocks; k runs when the fiber was woken. Use as `return tl_await_yield(...)`. */
int tl_await_yield(lua_State *L, lua_KContext ctx, lua_KFunction k);
/* In k: ends the wait and says why it ended. Does not raise. */
enum tl_wake tl_await_end(lua_State *L);
/* Raises a CancelledError. */
int tl_await_raise_cancelled(lua_State *L);
/* Blocks until the predicate at cond_index (or cond_fn) holds. */
void tl_await_condition(lua_State *L, int cond_index,
                        bool (*cond_fn)(struct tl_lua_run *run, struct tl_fiber *f), void *ud);
/* Puts the fiber at the end of the ready queue without waiting for anything. */
void tl_await_turn(lua_State *L);

/* --- future.c --------------------------------------------------------------------------------- */

/* Makes the userdata on top of L (a future, or a fiber, which begins with one) a future for scripts. */
void tl_future_set_meta(lua_State *L);
void tl_future_cancel(lua_State *L, struct tl_lua_run *run, struct tl_future *future);
/* The same; the reason goes to a child, others have no use for it. */
void tl_future_cancel_because(lua_State *L, struct tl_lua_run *run, struct tl_future *future,
                              struct tl_str reason);
/* Resolves with n values on top of L (popped); failed: one value, the error. */
void tl_future_resolve(lua_State *L, struct tl_lua_run *run, struct tl_future *future, bool failed,
                       int n);
/* Creates a future's userdata, pushes it and keeps it until it is resolved. */
struct tl_future *tl_future_new(lua_State *L, struct tl_lua_run *run, enum tl_future_kind kind);
/* Pushes the pending future, NULL (nothing pushed) when there is none. */
struct tl_future *tl_future_find(lua_State *L, struct tl_lua_run *run, enum tl_future_kind kind,
                                 uint32_t seq);
/* Takes a future off the list of pending ones; lists the one on top (popped) under a new number. */
void tl_future_unlist(lua_State *L, struct tl_lua_run *run, const struct tl_future *future);
void tl_future_relist(lua_State *L, struct tl_lua_run *run, struct tl_future *future);
/* The future at index; raises when it is none. */
struct tl_future *tl_future_check(lua_State *L, int index);
struct tl_future *tl_future_test(lua_State *L, int index);
/* For a wait whose cancellation went through to the failed future at index: raises its error, as
 * the cancellation of who waits when it is one. */
int tl_future_raise_cancelled(lua_State *L, int index);
/* Pushes a resolved future's values, or raises its error. Returns their number. */
int tl_future_values(lua_State *L, int index);
/* future:result(): awaits the future at index 1. */
int tl_future_await(lua_State *L);

/* --- run.c -------------------------------------------------------------------------------------- */

/* Adds a command with its place in the script; raises when the arena is full. */
struct tl_cmd *tl_cmd_new(lua_State *L, enum tl_cmd_type type);
struct tl_arena *tl_cmd_arena(lua_State *L);
/* Raises when p is NULL. */
void *tl_cmd_need(lua_State *L, void *p);
/* The fiber's function has ended; its values, or its error, are on its stack from `first` on. */
void tl_run_fiber_ended(lua_State *L, struct tl_lua_run *run, struct tl_fiber *f, bool failed,
                        int first);
/* Whether the run behaves as the logic flag says: always when it is not replaying, which records the
 * flag; on replay when the flag was recorded. */
bool tl_run_uses_flag(struct tl_lua_run *run, int flag);
/* Fails the workflow task with the error value at index. */
void tl_run_fail_task(lua_State *L, struct tl_lua_run *run, int index);
/* Whether the fiber runs a handler of the script that the workflow ought to wait for. */
static inline bool tl_fiber_is_handler(const struct tl_fiber *f)
{
    return f->kind == TL_FIBER_SIGNAL || f->kind == TL_FIBER_UPDATE;
}
/* Whether the error at index fails the workflow (or the update), not the workflow task: a failure,
 * or an error whose type the definition or the worker lists. */
bool tl_run_is_failure(lua_State *L, struct tl_lua_run *run, int index);
/* Calls the function below the n values on top; all of it is replaced by its results, or the error.
 * It may not run on replay, so it must leave no trace: no command (`what` is the reason in the
 * message), no await, random and object numbers of its own. Returns lua_pcall's status. */
int tl_run_call_apart(lua_State *L, int n, const char *what);
/* Calls the function of a converter below the two arguments on top, also from the main thread; its
 * first result, or the error, takes their place. As above it leaves no trace. Returns lua_pcall's
 * status; on the main thread the error is a text. */
int tl_run_call_converter(lua_State *L);
/* Message handler of fibers: makes error tables of plain errors, adds stack traces. */
int tl_run_traceback(lua_State *L);
void tl_run_log(lua_State *L, enum tl_log_level level, struct tl_str message);
/* With fields of the script's own (the last of kind TL_F_END); on_replay: then, too. */
void tl_run_log_fields(lua_State *L, enum tl_log_level level, struct tl_str message,
                       const struct tl_log_field *own, bool on_replay);
/* Pushes the decoded started attributes kept at INIT (arena: the activation's). */
const TpHistory__WorkflowExecutionStartedEventAttributes *tl_run_started(lua_State *L);

/* --- handlers.c --------------------------------------------------------------------------------- */

/* What is known of a handler beside its function. */
struct tl_handler {
    bool dynamic; /* it takes every name: its first argument is the name */
    bool abandon; /* unfinished_policy */
};

/* Pushes the form in which the handler at index (a function, or a table with handler, description,
 * unfinished_policy) is kept in slot. Raises what is wrong with it; `what` opens the message. */
void tl_handler_read(lua_State *L, int index, const char *what, enum tl_slot slot, bool with_self);
/* A function of a definition with init: gets self first. Upvalue: the function. */
int tl_handler_call_with_self(lua_State *L);
/* Pushes the function that handles `name`: its own, or the dynamic one. False: none, no push. */
bool tl_handler_push(lua_State *L, struct tl_lua_run *run, enum tl_slot slot, struct tl_str name,
                     struct tl_handler *out);
/* As tl_fiber_new, for a handler named "<word> <name>", which is counted until it ends. */
struct tl_fiber *tl_handler_start(lua_State *L, struct tl_lua_run *run, enum tl_fiber_kind kind,
                                  int nargs, const char *word, struct tl_str name, bool abandon);
/* Pushes the validator of an update handler. False: it has none, no push. */
bool tl_handler_push_validator(lua_State *L, struct tl_lua_run *run, struct tl_str name,
                               bool dynamic);
/* Pushes the sorted list of { name, description } of a slot; the dynamic handler has no name. */
void tl_handlers_push_list(lua_State *L, struct tl_lua_run *run, enum tl_slot slot);
/* [-0, +0, e] Raises what a caller of a query or update that has no handler is told: which ones there are. */
int tl_handlers_unknown(lua_State *L, struct tl_lua_run *run, enum tl_slot slot, const char *name);
/* Logs which handlers the end of the workflow leaves unfinished, unless their policy allows it. */
void tl_handlers_warn_unfinished(lua_State *L, struct tl_lua_run *run);
/* Starts the handlers of signals that came before they had one. */
void tl_run_flush_signals(lua_State *L, struct tl_lua_run *run);

/* --- without.c: the switch build only ------------------------------------------------------------ */

#ifdef TL_SANDBOX_SWITCH
/* The stock behaviour that a mitigation replaces. */
int tl_without_pairs(lua_State *L);
int tl_without_next(lua_State *L);
int tl_without_sort(lua_State *L);
int tl_without_random(lua_State *L);
/* Seconds on the clock of the machine. */
int64_t tl_without_now(void);
/* Runs the pending __close handlers of a run that is dropped. */
void tl_without_close(struct tl_lua_run *run);
#endif

/* --- module.c: require -------------------------------------------------------------------------- */

/* Pushes the value of module `name`, loading it when needed. */
void tl_module_require(lua_State *L, struct tl_lua_run *run, struct tl_str name);
/* Pushes the module's chunk, made of its bytecode. Raises when there is no memory. */
struct tl_bundle_module;
void tl_module_load(lua_State *L, const struct tl_bundle_module *m);

/* --- converters.c: payload converters of the user ------------------------------------------------- */

/* Loads the bundle's converters into the run, before anything is decoded. Raises what is wrong. */
void tl_converters_load(struct tl_lua_run *run);
/* The same for a bundle that is being opened: called on a coroutine, protected. */
int tl_converters_probe(lua_State *L);

/* A conversion begins: of the values that were told last, if no conversion was since, else of the run's. */
void tl_context_begin(lua_State *L);
/* [-0, +1] What converters are told of the values under way. */
void tl_context_push(lua_State *L);
/* The next conversion is of values of another workflow; of an activity (id, task_queue: NULL or empty, when
 * nobody gave them); of a Nexus operation. They do nothing in runs without converters. */
void tl_context_workflow(lua_State *L, struct tl_str namespace_, struct tl_str workflow_id);
void tl_context_activity(lua_State *L, const char *type, const char *id, const char *task_queue,
                         bool local);
void tl_context_nexus(lua_State *L, const char *endpoint, const char *service,
                      const char *operation);
/* [-0, +0] What was told last is what the result of the future on top is. */
void tl_context_keep(lua_State *L);
/* [-0, +0] The next conversion is of that result. */
void tl_context_recall(lua_State *L);

/* --- bundle.c ----------------------------------------------------------------------------------- */

enum tl_module_kind { TL_MODULE_CODE, TL_MODULE_ACTIVITY };

/* An activity that a module defines: where its proxy is found in the module's value. */
struct tl_bundle_activity {
    struct tl_str key;     /* field of the module's table; empty: its place in the list only */
    struct tl_str name;    /* activity type */
    struct tl_str options; /* JSON of its default options; empty: none */
};

struct tl_bundle_module {
    struct tl_str name, file, text;
    struct tl_str code; /* bytecode; empty once the bundle is open */
    int frozen_index; /* of its chunk in the bundle's frozen state; 0 while the bundle is opened */
    enum tl_module_kind kind;
    bool named_activity; /* by the configuration */
    bool mixed;          /* holds worker, client or activity code beside workflows */
    bool entry;          /* named by the configuration as workflow module, */
    bool named;          /* by its own name or path, */
    bool found;          /* or by a pattern; neither: its text was given */
    bool interceptor;    /* named by the configuration as such */
    bool shared;         /* a pass-through module, or one that such a module requires */
    int shared_index;    /* of its value in the frozen state; 0: it is not shared */
    struct tl_bundle_activity *activities;
    size_t activity_count;
    bool activity_single; /* the module's value is one activity */
};

const struct tl_bundle_module *tl_bundle_module_find(const struct tl_bundle *b, struct tl_str name);
/* Gives a new run what shared values need to be known by in it. */
void tl_bundle_take_shared(struct tl_lua_run *run);
/* The run that evaluated the pass-through modules; its tables are frozen once the bundle is open. */
const struct tl_lua_run *tl_bundle_code_run(const struct tl_bundle *b);
/* Raises while pass-through modules are evaluated. */
void tl_shared_check(lua_State *L, const char *what);
/* The frozen state with the code of an open bundle. */
lua_State *tl_bundle_code(const struct tl_bundle *b);
/* For the probe: finds, reads and compiles a module that is not there yet. NULL: no such file.
 * Raises for a module that does not compile. */
const struct tl_bundle_module *tl_bundle_module_load(lua_State *L, struct tl_lua_run *run,
                                                     struct tl_str name);
/* For the probe: a definition was made by the module under way. */
void tl_bundle_record_workflow(lua_State *L, struct tl_lua_run *run, struct tl_str type,
                               struct tl_str versioning, bool unsandboxed);
/* Likewise; options: stack index of a table, or of nil. */
void tl_bundle_record_activity(lua_State *L, struct tl_lua_run *run, struct tl_str name,
                               int options);
/* Whether everything that is required is to be inert (an activity module is looked at). */
bool tl_bundle_probes_activity(const struct tl_lua_run *run);
