/* The switch of the sandbox's proof: a build of its own (-DTL_SANDBOX_SWITCH, never the release) can
 * take one mitigation of the determinism table away, named by TEMPORAL_LUA_WITHOUT=ROW, so that the
 * tests can be seen to fail without it (`./dev test sandbox --without ROW`). The rows are those of
 * docs/determinism.md. In every other build TL_WITHOUT is the constant false and costs nothing. */
#pragma once

#include <stdbool.h>

#ifdef TL_SANDBOX_SWITCH

struct lua_State;

/* Whether this row's mitigation is taken away. Owns: nothing. Thread: any. Errors: none. */
bool tl_without(int row);
#define TL_WITHOUT(row) tl_without(row)

#else

#define TL_WITHOUT(row) ((void)(row), false)

#endif

/* Rows whose mitigation is the one order of pairs and next. */
#define TL_WITHOUT_ORDER                                                                           \
    (TL_WITHOUT(1) || TL_WITHOUT(2) || TL_WITHOUT(3) || TL_WITHOUT(4) || TL_WITHOUT(5) ||          \
     TL_WITHOUT(6) || TL_WITHOUT(7) || TL_WITHOUT(8) || TL_WITHOUT(37))
