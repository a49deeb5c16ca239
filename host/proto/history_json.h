/* Workflow histories as files: the JSON that Temporal's tools export (every spelling they have
 * used), and raw protobuf. Thread: any. */
#pragma once

#include <temporal/api/history/v1/message.pb-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* Reads a history: JSON `{"events": [...]}`, a JSON array of events, the JSON of a
 * GetWorkflowExecutionHistoryResponse (`{"history": {...}}`), or an encoded History message.
 * Unknown fields are ignored: files outlive versions. Checks that there is an event and that event
 * ids count up from the first by one.
 * Owns: the history is in the arena. Errors: TL_EDECODE, TL_ELIMIT. */
tl_rc tl_history_read(struct tl_str file, struct tl_arena *arena, TpHistory__History **out,
                      struct tl_error *err) TL_MUST_USE;
/* Appends the history as Temporal's command line exports it: pretty, full enum names, payloads
 * in full. */
tl_rc tl_history_write_json(const TpHistory__History *history, struct tl_buf *out,
                            struct tl_error *err) TL_MUST_USE;
