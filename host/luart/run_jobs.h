/* The jobs of an activation; private to run.c and run_jobs.c. */
#pragma once

#include "luart/run_int.h"

/* Applies one job: makes fibers, resolves futures, answers queries. May raise (which ends the run). */
void tl_run_apply_job(struct tl_lua_run *run, const struct tl_job *job);
void tl_run_apply_signal(struct tl_lua_run *run, const struct tl_job *job);
void tl_run_apply_update(struct tl_lua_run *run, const struct tl_job *job);
/* The fiber of an update has ended: its values, or its error, are on its stack from `first` on. */
void tl_run_update_ended(lua_State *L, struct tl_lua_run *run, struct tl_fiber *f, bool failed,
                         int first);
void tl_run_apply_query(struct tl_lua_run *run, const struct tl_job *job);
/* Registers the handlers that the definition at stack index `definition` has under `key` (by name)
 * and `dynamic_key`. */
void tl_handlers_take(lua_State *L, struct tl_lua_run *run, int definition, const char *key,
                      const char *dynamic_key, enum tl_slot slot, bool with_self);
/* wf_marker.c: history has this value of a side effect, this version of a change. */
void tl_run_apply_side_effect(struct tl_lua_run *run, struct tl_str id, uint32_t call,
                              const TpCommon__Payloads *value);
void tl_run_apply_version(struct tl_lua_run *run, struct tl_str id, int32_t version);
/* wf_local.c: a local activity has ended, or is to pause; its pause is over (timer's userdata on top
 * of the main thread's stack). */
void tl_run_apply_local(struct tl_lua_run *run, const struct tl_job *job);
void tl_run_local_again(struct tl_lua_run *run, struct tl_future *timer);
/* wf_nexus.c */
void tl_run_apply_nexus_started(struct tl_lua_run *run, const struct tl_job *job);
void tl_run_apply_nexus(struct tl_lua_run *run, const struct tl_job *job);
/* Adds the answer of the query under way: values, or the error, from `first` on. */
void tl_run_answer_query(lua_State *L, struct tl_lua_run *run, bool failed, int first);
