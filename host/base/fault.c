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

bool tl_fault_find(struct tl_str name, enum tl_fault *out)
{
    for (int i = 0; i < TL_FAULT_COUNT; i++) {
        if (tl_str_eqc(name, names[i])) {
            *out = (enum tl_fault)i;
            return true;
        }
    }
    return false;
}

const char *tl_fault_name(enum tl_fault f)
{
    return names[f];
}
