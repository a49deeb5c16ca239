/* See script.h. */
#include "cli/script.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "cli/cli.h"
#include "luahost/host.h"

/* Whether a script of the user is among the callers, not only what is built in. */
static bool in_a_script(lua_State *L)
{
    lua_Debug ar;
    for (int level = 1; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "S", &ar);
        if (ar.what[0] != 'C' && strncmp(ar.source, "@temporal/", 10) != 0) {
            return true;
        }
    }
    return false;
}

static int traceback(lua_State *L)
{
    const char *message = luaL_tolstring(L, 1, NULL);
    if (in_a_script(L)) {
        luaL_traceback(L, L, message, 1);
    }
    return 1;
}

lua_State *tl_cli_script_state(char **argv, int argc)
{
    lua_State *L = tl_host_state_new(NULL, NULL);
    if (!L) {
        tl_cli_fail(1, "no memory for a Lua state");
        return NULL;
    }
    lua_createtable(L, argc, 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i);
    }
    lua_setglobal(L, "arg");
    return L;
}

int tl_cli_script_call(lua_State *L, int nargs, int nresults)
{
    int base = lua_gettop(L) - nargs;
    lua_pushcfunction(L, traceback);
    lua_insert(L, base);
    int rc = lua_pcall(L, nargs, nresults, base);
    lua_remove(L, base);
    if (rc != LUA_OK) {
        tl_cli_fail(1, "%s", luaL_tolstring(L, -1, NULL));
        lua_pop(L, 2);
        return 1;
    }
    return 0;
}
