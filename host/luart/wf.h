/* What the files of the workflow library (wf_*.c) share. Thread: the run's. */
#pragma once

#include <temporal/api/sdk/v1/user_metadata.pb-c.h>
#include <temporal/api/taskqueue/v1/message.pb-c.h>

#include "luart/intercept.h"
#include "luart/run_int.h"

/* Pushes a reference to an activity: callable, passed to workflow.activity and its kin.
 * options: stack index of a table, 0: none. */
void tl_wf_push_activity(lua_State *L, struct tl_str name, int options);
bool tl_wf_is_activity(lua_State *L, int index);
/* Whether a function under this key of an activity module is no activity but its set-up or tear-down. */
bool tl_wf_is_hook(struct tl_str key);
/* The activity type that the value at index names: text, a reference, or a proxy; raises else. */
struct tl_str tl_wf_activity_name(lua_State *L, int index, const char *what);
/* How activities of a kind are asked for. */
struct tl_activity_kind {
    enum tl_hook hook;
    /* [-0, +1, e] Pushes the future of the activity at 1, with the options at `options` (0: none) and the
     * arguments from `first`. */
    void (*schedule)(lua_State *L, const char *what, int options, int first);
    /* [-0, +1] The options that the activity at 1 carries itself. False, no push: it carries none. */
    bool (*push_own_options)(lua_State *L);
};
/* [-0, +1, e] Schedules through the interceptors and gives the future, or waits for it; the last thing of a C
 * function: `return tl_wf_ask_activity(...)`. `what` names the call in errors. */
int tl_wf_ask_activity(lua_State *L, const struct tl_activity_kind *kind, const char *what,
                       int options, int first, bool await);
/* Whether the value is what workflow.local_activity gives. */
bool tl_wf_is_local_proxy(lua_State *L, int index);
/* Asks a local activity to stop, or ends its pause between two attempts. */
void tl_wf_cancel_local(lua_State *L, struct tl_lua_run *run, struct tl_future *future);
/* Awaits the future on top of the stack: use as `return tl_wf_await_top(L)`. */
static inline int tl_wf_await_top(lua_State *L)
{
    lua_replace(L, 1);
    lua_settop(L, 1);
    return tl_future_await(L);
}
/* What field `memo` or `search_attributes` of the options at index holds; NULL when it is not there. */
TpCommon__Memo *tl_wf_option_memo(lua_State *L, int index, const char *what);
TpCommon__SearchAttributes *tl_wf_option_search_attributes(lua_State *L, int index,
                                                           const char *what);
/* A random id from the run's own stream. */
void tl_wf_uuid4(lua_State *L, char text[static 37]);
/* A child's handle has more than other futures: pushes field or method `key`. */
int tl_wf_child_index(lua_State *L, const char *key);
/* Likewise of a Nexus operation. */
int tl_wf_nexus_index(lua_State *L, const char *key);
/* The operation as a command. */
struct tl_wf_nexus_op {
    TpCommand__ScheduleNexusOperationCommandAttributes *attrs;
    enum tl_cancellation_type cancellation;
    TpSdk__UserMetadata *metadata;
    struct tl_event_groups groups;
};
/* [-0, +1, e] Pushes the future of its end. */
struct tl_future *tl_wf_nexus_schedule(lua_State *L, const struct tl_wf_nexus_op *op);
/* [-0, +1] The result of a signal-with-start, whose future is on top, as a handle. False: what went wrong,
 * a text, was pushed. */
bool tl_wf_signal_start_result(lua_State *L, const TpCommon__Payload *result);
/* [-0, +1, e] A handle of the workflow whose id is at index; run_id and namespace_ may be NULL. */
void tl_wf_push_external(lua_State *L, int id, const char *run_id, const char *namespace_);
/* [-0, +n, e] Pushes the n values of the list at index; with a field n it may have holes. */
int tl_wf_spread(lua_State *L, int list, const char *what);
/* What a signal or a cancellation is sent to. Empty namespace: the workflow's own. */
struct tl_wf_target {
    struct tl_str namespace_, workflow_id, run_id;
    bool child_only;
};
/* signal(self, name, ...), or with options signal_with(self, options, name, ...): sends the signal and
 * waits for its delivery. */
int tl_wf_signal_target(lua_State *L, const struct tl_wf_target *target, bool with_options);
/* Event groups (wf_event_group.c). Those in the list at index; raises what is none. */
struct tl_event_groups tl_event_groups_read(lua_State *L, int index, const char *what);
/* Those of a command of this type that the running code makes. */
struct tl_event_groups tl_event_groups_now(lua_State *L, enum tl_cmd_type type);
/* The command belongs to these, too. NULL is fine. */
void tl_event_groups_add(lua_State *L, struct tl_cmd *cmd, const struct tl_event_groups *direct);
/* The options at index of the function `what`, which has event groups and no others. */
struct tl_event_groups tl_event_groups_option(lua_State *L, int index, const char *what);
/* The future on top (stays) was made by the command: what cancels it will belong to the same. */
void tl_event_groups_keep(lua_State *L, const struct tl_cmd *cmd);
/* What was kept for a pending future. */
struct tl_event_groups tl_event_groups_kept(lua_State *L, const struct tl_future *future);
/* The future on top (stays) is resolved; the coroutine co has ended: nothing is kept for them any more. */
void tl_event_groups_forget(lua_State *L);
void tl_event_groups_forget_thread(lua_State *L, lua_State *co);
/* The coroutine co, made now, is in the scopes that the running one is in. */
void tl_event_groups_inherit(lua_State *L, lua_State *co);
/* User metadata with a summary and details, each NULL when there is none; NULL for neither. */
TpSdk__UserMetadata *tl_wf_metadata(lua_State *L, TpCommon__Payload *summary,
                                    TpCommon__Payload *details);
/* Starts a timer and pushes its future. summary and groups may be NULL. */
struct tl_future *tl_wf_start_timer(lua_State *L, int64_t ns, TpCommon__Payload *summary,
                                    const struct tl_event_groups *groups);
/* The same for the timeout of a call, which interceptors see under its name; their hooks cannot wait here. The
 * event groups as they were given are in the table at `groups_of`; 0: there are none. */
struct tl_future *tl_wf_start_timeout(lua_State *L, const char *call, int64_t ns,
                                      TpCommon__Payload *summary,
                                      const struct tl_event_groups *groups, int groups_of);
/* The name a workflow type argument gives: text or a definition. */
struct tl_str tl_wf_type_name(lua_State *L, int index, const char *what);
/* Whether the value is a definition made by workflow.define; its name. */
bool tl_wf_definition_name(lua_State *L, int index, struct tl_str *name);
/* Memo and search attributes as they are now: the started ones and what was upserted since. */
TpCommon__Memo *tl_wf_memo(lua_State *L);
TpCommon__SearchAttributes *tl_wf_search_attributes(lua_State *L);

/* Puts a function in the place of the one at index `fn` that checks arguments and result by the fields
 * args and result of the definition, when it has them. Raises what is wrong with them. */
void tl_wf_bind_models(lua_State *L, int definition, int fn, struct tl_str type);
