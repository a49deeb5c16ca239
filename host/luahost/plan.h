/* The script plan of a worker (lua/temporal/worker.lua makes it) as the configuration of a bundle.
 * Thread: that of the lua_State. */
#pragma once

#include <lua.h>

#include "luart/bundle.h"

/* [-0, +n, v] Fills config from the plan table at `plan`. Arrays are userdata left on the stack, texts
 * stay the table's: both must outlive the use of config. */
void tl_host_bundle_plan(lua_State *L, int plan, struct tl_bundle_config *config);
/* [-0, +2, v] A NULL-terminated array of the texts in the list field `name`; as above. */
const char **tl_host_plan_list(lua_State *L, int plan, const char *name);
/* [-0, +1, v] The same of the list at `index`. */
const char **tl_host_text_list(lua_State *L, int index);
