/* Draws a history as a timeline: one row per thing that happened (workflow task, activity, timer,
 * signal), a bar from its begin to its end, and how it ended. */
#pragma once

#include <temporal/api/history/v1/message.pb-c.h>

#include "base/buf.h"

/* Appends the drawing, `columns` wide (at least 72). Thread: any. */
void tl_timeline_draw(const TpHistory__History *history, int columns, struct tl_buf *out);
