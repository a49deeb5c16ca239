/* See replay_plugins.h. The Lua side is lua/temporal/internal/replay_command.lua. */
#include "cli/replay_plugins.h"

#include <lauxlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/script.h"

/* Index 1 of its state is the function that replays. */
struct tl_replay_plugins {
    lua_State *L;
};

static void set_texts(lua_State *L, struct tl_cli *cli, const char *field, const char *option)
{
    const char *const *texts = tl_cli_texts(cli, option);
    lua_newtable(L);
    for (lua_Integer i = 0; texts[i]; i++) {
        lua_pushstring(L, texts[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, field);
}

/* MODULE[=CONFIG] as { module =, config = } */
static void set_modules(lua_State *L, struct tl_cli *cli, const char *field, const char *option)
{
    const char *const *texts = tl_cli_texts(cli, option);
    lua_newtable(L);
    for (lua_Integer i = 0; texts[i]; i++) {
        size_t n = strcspn(texts[i], "=");
        lua_createtable(L, 0, 2);
        lua_pushlstring(L, texts[i], n);
        lua_setfield(L, -2, "module");
        lua_pushstring(L, texts[i] + n + (texts[i][n] == '='));
        lua_setfield(L, -2, "config");
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, field);
}

static int push_driver(lua_State *L, struct tl_cli *cli)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "temporal.internal.replay_command");
    if (tl_cli_script_call(L, 1, 1) != 0) {
        return 1;
    }
    lua_createtable(L, 0, 8);
    set_texts(L, cli, "workflows", "workflows");
    set_texts(L, cli, "activities", "activities");
    set_texts(L, cli, "passthrough_modules", "passthrough-module");
    set_modules(L, cli, "interceptors", "interceptor");
    set_modules(L, cli, "plugins", "plugin");
    set_texts(L, cli, "roots", "root");
    if (!tl_cli_texts(cli, "root")[0]) {
        lua_getfield(L, -1, "roots");
        lua_pushliteral(L, ".");
        lua_rawseti(L, -2, 1);
        lua_pop(L, 1);
    }
    lua_pushstring(L, tl_cli_text(cli, "namespace"));
    lua_setfield(L, -2, "namespace");
    return tl_cli_script_call(L, 1, 1);
}

int tl_replay_plugins_open(struct tl_cli *cli, struct tl_replay_plugins **out)
{
    char *no_arguments[] = {NULL};
    *out = NULL;
    if (!tl_cli_texts(cli, "plugin")[0]) {
        return 0;
    }
    lua_State *L = tl_cli_script_state(no_arguments, 0);
    if (!L) {
        return 1;
    }
    int code = push_driver(L, cli);
    if (code != 0) {
        lua_close(L);
        return code;
    }
    *out = TL_NEW(struct tl_replay_plugins);
    (*out)->L = L;
    return 0;
}

static struct tl_str text_of(lua_State *L, const char *field, struct tl_arena *arena)
{
    struct tl_str s = {NULL, 0};
    lua_getfield(L, -1, field);
    if (lua_type(L, -1) == LUA_TSTRING) {
        s.p = lua_tolstring(L, -1, &s.n);
        s = tl_arena_str(arena, s);
    }
    lua_pop(L, 1);
    return s;
}

static size_t count_of(lua_State *L, const char *field)
{
    lua_getfield(L, -1, field);
    size_t n = (size_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
    return n;
}

bool tl_replay_plugins_replay(struct tl_replay_plugins *p, struct tl_str history,
                              struct tl_str workflow_id, struct tl_str run_id,
                              struct tl_arena *arena, struct tl_replay_told *out)
{
    lua_State *L = p->L;
    const struct tl_str arguments[] = {history, workflow_id, run_id};
    *out = (struct tl_replay_told){0};
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++) {
        lua_pushlstring(L, arguments[i].p ? arguments[i].p : "", arguments[i].n);
    }
    if (tl_cli_script_call(L, 3, 1) != 0) {
        return false;
    }
    out->held_back = !lua_istable(L, -1);
    if (!out->held_back) {
        out->event_count = count_of(L, "events");
        out->task_count = count_of(L, "tasks");
        out->workflow_id = text_of(L, "workflow_id", arena);
        out->run_id = text_of(L, "run_id", arena);
        out->code = text_of(L, "code", arena);
        out->message = text_of(L, "message", arena);
        out->text = text_of(L, "text", arena);
        out->report_json = text_of(L, "report", arena);
    }
    lua_settop(L, 1);
    return true;
}

int tl_replay_plugins_close(struct tl_replay_plugins *p, bool well)
{
    int code = 0;
    if (!p) {
        return 0;
    }
    lua_settop(p->L, 1);
    if (well) {
        code = tl_cli_script_call(p->L, 0, 0);
    }
    lua_close(p->L);
    tl_mem_free(p);
    return code;
}
