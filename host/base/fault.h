/* Fault switches: process-wide booleans, off unless a test arms them. Reading one costs a relaxed
 * load. Thread: any. */
#pragma once

#include <stdbool.h>

#include "base/str.h"

enum tl_fault {
#define X(name, kind, text) TL_FAULT_##name,
#include "base/fault.def"
#undef X
    TL_FAULT_COUNT
};

bool tl_fault_armed(enum tl_fault f);
void tl_fault_arm(enum tl_fault f, bool on);
const char *tl_fault_name(enum tl_fault f);

#define TL_FAULT(name) tl_fault_armed(TL_FAULT_##name)
