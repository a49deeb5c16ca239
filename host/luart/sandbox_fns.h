/* Declarations of the functions that sandbox.def names. All are lua_CFunctions. */
#pragma once

#include "luart/vm/vm.h"

#define OWN(lib, name, fn) int tl_lib_##fn(lua_State *L);
#define STOCK(lib, name, from)
#define DATA(lib, name, fn)
#define VALUE(lib, name, value)
#define SUB(lib, name, sub)
#define FORBID(lib, name, hint)
#include "luart/sandbox.def"
#undef OWN
#undef STOCK
#undef DATA
#undef VALUE
#undef SUB
#undef FORBID
