/* What the files of the workflow library (wf_*.c) share. Thread: the run's. */
#pragma once

#include <temporal/api/sdk/v1/user_metadata.pb-c.h>
#include <temporal/api/taskqueue/v1/message.pb-c.h>

#include "luart/run_int.h"

/* Pushes a reference to an activity: callable, passed to workflow.activity and its kin.
 * options: stack index of a table, 0: none. */
void tl_wf_push_activity(lua_State *L, struct tl_str name, int options);
bool tl_wf_is_activity(lua_State *L, int index);
/* The activity type that the value at index names: text, a reference, or a proxy; raises else. */
struct tl_str tl_wf_activity_name(lua_State *L, int index, const char *what);
/* Whether the value is what workflow.local_activity gives. */
bool tl_wf_is_local_proxy(lua_State *L, int index);
/* Asks a local activity to stop, or ends its pause between two attempts. */
void tl_wf_cancel_local(lua_State *L, struct tl_lua_run *run, struct tl_future *future);
/* User metadata with a summary; NULL for NULL. */
TpSdk__UserMetadata *tl_wf_metadata(lua_State *L, TpCommon__Payload *summary);
/* Starts a timer and pushes its future. summary may be NULL. */
struct tl_future *tl_wf_start_timer(lua_State *L, int64_t ns, TpCommon__Payload *summary);
/* The name a workflow type argument gives: text or a definition. */
struct tl_str tl_wf_type_name(lua_State *L, int index, const char *what);
/* Whether the value is a definition made by workflow.define; its name. */
bool tl_wf_definition_name(lua_State *L, int index, struct tl_str *name);
/* Memo and search attributes as they are now: the started ones and what was upserted since. */
TpCommon__Memo *tl_wf_memo(lua_State *L);
TpCommon__SearchAttributes *tl_wf_search_attributes(lua_State *L);
