/* The jobs of an activation; private to run.c and run_jobs.c. */
#pragma once

#include "luart/run_int.h"

/* Applies one job: makes fibers, resolves futures, answers queries. May raise (which ends the run). */
void tl_run_apply_job(struct tl_lua_run *run, const struct tl_job *job);
/* Adds the answer of the query under way: values, or the error, from `first` on. */
void tl_run_answer_query(lua_State *L, struct tl_lua_run *run, bool failed, int first);
