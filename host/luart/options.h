/* Option tables of the Lua surface, read by a declaration: each row names a field, its type and
 * where its value goes (a member of a protobuf message or of a plain struct). Unknown keys raise,
 * with the nearest known one. Thread: the run's. Owner: values are the arena's. */
#pragma once

#include <stddef.h>

#include <temporal/api/common/v1/message.pb-c.h>

#include "base/arena.h"
#include "luart/vm/vm.h"

enum tl_opt_kind {
    TL_OPT_STRING,     /* char *  */
    TL_OPT_DURATION,   /* Google__Protobuf__Duration * */
    TL_OPT_NS,         /* int64_t, nanoseconds; -1 stays when absent */
    TL_OPT_BOOL,       /* protobuf_c_boolean */
    TL_OPT_INT,        /* int32_t */
    TL_OPT_DOUBLE,     /* double */
    TL_OPT_FLOAT,      /* float */
    TL_OPT_ENUM,       /* int: the index of the name in `names` */
    TL_OPT_TASK_QUEUE, /* TpTq__TaskQueue * */
    TL_OPT_RETRY,      /* TpCommon__RetryPolicy * */
    TL_OPT_PRIORITY,   /* TpCommon__Priority * */
    TL_OPT_PAYLOAD,    /* TpCommon__Payload *: any value */
    TL_OPT_STRINGS,    /* struct { size_t n; char **items; } in protobuf's layout: n first */
    TL_OPT_HEADERS,    /* TpCommon__Header *: a table name -> value */
    TL_OPT_OVERRIDE,   /* TpWorkflow__VersioningOverride * */
    TL_OPT_GROUPS,     /* struct tl_event_groups: a list of event groups */
    TL_OPT_FUNCTION,   /* checked only; the caller reads it from the table */
    TL_OPT_TABLE,      /* likewise */
    TL_OPT_ANY,        /* likewise */
};

struct tl_opt {
    const char *name;
    enum tl_opt_kind kind;
    unsigned char target; /* which of the targets */
    size_t offset;
    const char *const *names; /* TL_OPT_ENUM: lower_snake names, NULL-terminated */
};

#define TL_OPT(name, kind, target, type, member)                                                   \
    {                                                                                              \
        name, kind, target, offsetof(type, member), NULL                                           \
    }
#define TL_OPT_CHECKED(name, kind)                                                                 \
    {                                                                                              \
        name, kind, 0, 0, NULL                                                                     \
    }

/* Reads the table at index (nil or none: no options) into the targets. `what` opens error messages
 * ("workflow.sleep"). Errors: Lua errors. */
void tl_options_read(lua_State *L, int index, const char *what, const struct tl_opt *opts, size_t n,
                     void *const *targets, struct tl_arena *arena);
#define TL_OPTIONS_READ(L, index, what, opts, targets, arena)                                      \
    tl_options_read((L), (index), (what), (opts), sizeof(opts) / sizeof *(opts), (targets), (arena))

/* The text at index: UTF-8 without zero bytes. Errors: Lua errors that begin with `what`. */
char *tl_options_text(lua_State *L, int index, const char *what, struct tl_arena *arena);
/* A number of seconds or text ("90s") at index as nanoseconds. Errors: Lua errors. */
int64_t tl_options_duration(lua_State *L, int index, const char *what);

/* Which workers of a task queue with sets of builds (the older versioning) something is for. */
enum tl_versioning_intent { TL_INTENT_UNSPECIFIED, TL_INTENT_COMPATIBLE, TL_INTENT_DEFAULT };
extern const char *const tl_versioning_intent_names[];
/* Whether it is for those of the workflow's own build; by default it is on the workflow's own queue. */
static inline bool tl_intent_is_compatible(int intent, bool own_queue)
{
    return intent == TL_INTENT_COMPATIBLE || (intent == TL_INTENT_UNSPECIFIED && own_queue);
}

/* [-0, +0, v] Refuses intervals that the server would not take, at the line that gave them; NULL is fine.
 * No server has a say in those of local activities. */
void tl_options_check_retry(lua_State *L, const char *what, const TpCommon__RetryPolicy *policy);
