/* What the methods of activities without a workflow share. Thread: engine. */
#pragma once

#include "server/api/api.h"
#include "server/history/activity_execution.h"

/* The activity execution of these ids; answers and returns NULL when there is none or the ids are bad. */
struct tl_exec *tl_api_find_activity(struct tl_call *c, const char *activity_id,
                                     const char *run_id);
/* What every request for a change says. */
struct tl_api_change {
    const char *request_id, *identity, *reason;
};
/* False after an answer INVALID_ARGUMENT. */
bool tl_api_check_change(struct tl_call *c, const struct tl_api_change *r);
