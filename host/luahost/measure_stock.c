/* The meters of luart, compiled for the stock Lua. Thread: that of the lua_State. */
// clang-format off
#include "luart/measure.c" // NOLINT(bugprone-suspicious-include)
// clang-format on
