/* run: a Lua script with the temporal modules, as the stock interpreter would run it. */
#include <lauxlib.h>

#include "cli/cli.h"
#include "cli/script.h"

int tl_cmd_run(struct tl_cli *cli);

int tl_cmd_run(struct tl_cli *cli)
{
    int argc, code = tl_cli_log_options(cli);
    char **argv = tl_cli_args(cli, &argc);
    if (code) {
        return code;
    }
    lua_State *L = tl_cli_script_state(argv, argc);
    if (!L) {
        return 1;
    }
    if (luaL_loadfile(L, argv[0]) != LUA_OK) {
        code = tl_cli_fail(1, "%s", lua_tostring(L, -1));
    } else {
        for (int i = 1; i < argc; i++) {
            lua_pushstring(L, argv[i]);
        }
        code = tl_cli_script_call(L, argc - 1, 0);
    }
    lua_close(L);
    return code;
}
