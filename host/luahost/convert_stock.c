/* The data converter of luart, compiled for the stock Lua: one source, so that a workflow and an
 * activity can never disagree about a payload. Thread: that of the lua_State. */
// clang-format off
#include "luart/convert.c" // NOLINT(bugprone-suspicious-include)
// clang-format on
