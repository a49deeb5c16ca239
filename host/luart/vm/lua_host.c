/* The io and os libraries of the VM, which only workflows outside of the sandbox reach (sandbox.c says which
 * of their names). Nothing finalizes a state's values, so what scripts open is listed beside the state and
 * closed with it. */
#define LUA_LIB
#define LUA_USE_POSIX

#include "luart/vm/vm.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

struct tl_vm_file {
    FILE *f;
    struct tl_vm_file *next;
};

static _Thread_local struct tl_vm_file **files; /* of the state that runs on this thread */

void tl_vm_use_files(struct tl_vm_file **list)
{
    files = list;
}

static FILE *keep(FILE *f)
{
    if (f && files) {
        struct tl_vm_file *file = TL_NEW(struct tl_vm_file);
        *file = (struct tl_vm_file){f, *files};
        *files = file;
    }
    return f;
}

static int forget(FILE *f)
{
    for (struct tl_vm_file **at = files; at && *at; at = &(*at)->next) {
        if ((*at)->f == f) {
            struct tl_vm_file *file = *at;
            *at = file->next;
            tl_mem_free(file);
            break;
        }
    }
    return fclose(f);
}

void tl_vm_close_files(struct tl_vm_file **list)
{
    while (*list) {
        struct tl_vm_file *file = *list;
        *list = file->next;
        fclose(file->f);
        tl_mem_free(file);
    }
}

/* lauxlib.c is compiled without POSIX: it does not take statuses apart. */
static int exec_result(lua_State *L, int status)
{
    bool signalled = status != -1 && WIFSIGNALED(status);
    if (status == -1) {
        return luaL_fileresult(L, 0, NULL);
    }
    int code = signalled ? WTERMSIG(status) : WEXITSTATUS(status);
    if (code == 0) {
        lua_pushboolean(L, 1);
    } else {
        luaL_pushfail(L);
    }
    lua_pushstring(L, signalled ? "signal" : "exit");
    lua_pushinteger(L, code);
    return 3;
}

#undef luaL_execresult
#define luaL_execresult exec_result
#undef LUAMOD_API
#define LUAMOD_API static
#define luaopen_io open_io
#define luaopen_os open_os
#define fopen(name, mode) keep(fopen((name), (mode)))
#define tmpfile() keep(tmpfile())
#define fclose(f) forget(f)
#include "liolib.c"
#undef fopen
#undef tmpfile
#undef fclose
#include "loslib.c"

void tl_vm_push_host(lua_State *L)
{
    static const struct {
        const char *name;
        lua_CFunction open;
    } opens[] = {{"io", open_io}, {"os", open_os}};
    lua_createtable(L, 0, 2);
    for (size_t i = 0; i < 2; i++) {
        lua_pushcfunction(L, opens[i].open);
        lua_call(L, 0, 1);
        lua_setfield(L, -2, opens[i].name);
    }
}
