/* Running host scripts: a stock Lua state with the temporal modules. Thread: main. */
#pragma once

#include <lua.h>

/* A state with `arg` set: argv[0] is the script. NULL (reported) when out of memory. */
lua_State *tl_cli_script_state(char **argv, int argc);
/* Runs the function below `nargs` arguments with a traceback; reports an error and returns 1, else 0
 * with `nresults` results on the stack. */
int tl_cli_script_call(lua_State *L, int nargs, int nresults);
