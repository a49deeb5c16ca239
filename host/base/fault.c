/* Fault switches. See fault.h. */
#include "base/fault.h"

#include <stdatomic.h>

static atomic_bool armed[TL_FAULT_COUNT];

static const char *const names[] = {
#define X(name, kind, text) #name,
#include "base/fault.def"
#undef X
};

bool tl_fault_armed(enum tl_fault f)
{
    return atomic_load_explicit(&armed[f], memory_order_relaxed);
}

void tl_fault_arm(enum tl_fault f, bool on)
{
    atomic_store(&armed[f], on);
}

const char *tl_fault_name(enum tl_fault f)
{
    return names[f];
}
