/* Meters for scripts: counters, gauges and histograms that a program makes and fills, with attributes as
 * labels. measure.c is compiled twice as convert.c is: for the sandbox VM (names tl_vm_*) and, by a file of
 * host/luahost, for the stock Lua (tl_stock_*).
 *
 * A script can record and nothing else: no value comes back, so a workflow cannot depend on what others
 * measured. In a workflow a metric that cannot be (its name is another kind of metric already, or there
 * are too many) is left out with a log line, since an error there would depend on other runs.
 * Invariants: nothing of the registry is held across a call into Lua.
 * Ownership: in the stock Lua a meter and its instruments retain the registry; in the sandbox the worker
 * keeps it for longer than any run. Thread: that of the lua_State. */
#pragma once

#include "base/metrics.h"
#include "luart/convert.h"

/* [-1, +1, e] A meter with the attributes of the table on top (name -> text). registry NULL: one that
 * records nothing. */
void TL_LUA_NAME(push_meter)(lua_State *L, struct tl_metrics *registry);

#ifdef TL_STOCK_LUA
/* One value that a script recorded, with all its labels. Texts are borrowed. */
struct tl_metric_record {
    int type; /* of instrument, as measure.c numbers them */
    const char *name, *description, *unit;
    struct tl_label *labels;
    size_t n;
    int64_t whole;
    double real;
};
/* Meters without a registry hand their records to this function from now on: of a process that measures for
 * another one. Thread: the only one that records. */
void tl_stock_metric_sink(void (*fn)(void *ud, const struct tl_metric_record *r), void *ud);
/* Records it here; a NULL registry takes nothing. Errors: those of tl_metric_custom, TL_EINVAL (no such type or
 * name, too many labels). */
tl_rc tl_stock_metric_record(struct tl_metrics *registry, const struct tl_metric_record *r,
                             struct tl_error *err) TL_MUST_USE;
#endif
