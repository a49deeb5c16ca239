/* workflow.payload_converter: the conversions of arguments and results, for code that makes payloads itself.
 * See sandbox.def.
 * Thread: the run's. Owner: payloads on their way are the activation arena's. */
#include "luart/sync.h"

#define META_CONVERTER "workflow.payload_converter"

/* converter:to_payload(value) -> { metadata =, data = } */
static int to_payload(lua_State *L)
{
    luaL_checkudata(L, 1, META_CONVERTER);
    luaL_checkany(L, 2);
    tl_vm_push_payload(L, tl_vm_payload_encode(L, 2, tl_cmd_arena(L), "value"));
    return 1;
}

/* converter:from_payload(payload) -> value */
static int from_payload(lua_State *L)
{
    luaL_checkudata(L, 1, META_CONVERTER);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_getfield(L, 2, "data");
    lua_getfield(L, 2, "metadata");
    if (lua_type(L, -2) != LUA_TSTRING || !lua_istable(L, -1)) {
        return luaL_error(L,
                          "from_payload: a payload is a table with the text 'data' and the table "
                          "'metadata'");
    }
    tl_vm_payload_decode(L, tl_vm_read_payload(L, 2, tl_cmd_arena(L)));
    return 1;
}

/* payload_converter() -> converter, with the worker's payload converters in it */
int tl_lib_wf_payload_converter(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"to_payload", to_payload}, {"from_payload", from_payload}, {NULL, NULL}};
    lua_newuserdatauv(L, 0, 0);
    tl_sync_meta(L, META_CONVERTER, methods, NULL);
    return 1;
}
