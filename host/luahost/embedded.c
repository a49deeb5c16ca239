/* Loads the built-in Lua files. See embedded.h. Thread: any; a file's code is made once and never changes.
 * Owner: the code is the process's, and goes when this library does. */
#include "luahost/embedded.h"

#include <lauxlib.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

#define FILES_MAX 128

/* What the compiler made of a file. */
struct code {
    char *bytes;
    size_t size, room;
    unsigned loads;
};

static struct code codes[FILES_MAX];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

__attribute__((destructor)) static void forget(void)
{
    for (int i = 0; i < FILES_MAX; i++) {
        tl_mem_free(codes[i].bytes);
        codes[i] = (struct code){0};
    }
}

static int append(lua_State *L, const void *p, size_t n, void *ud)
{
    struct code *c = ud;
    (void)L;
    if (n > c->room - c->size) {
        c->room = (c->size + n) * 2;
        c->bytes = tl_mem_realloc(c->bytes, c->room);
    }
    memcpy(c->bytes + c->size, p, n);
    c->size += n;
    return 0;
}

/* The file's code, or NULL: it is to be compiled. *keep: and what comes of it kept, for it is not the
 * first time; most programs have one state only. */
static const struct code *find(size_t index, bool *keep)
{
    struct code *c = &codes[index];
    pthread_mutex_lock(&mutex);
    bool known = c->size > 0;
    *keep = !known && c->loads++ > 0;
    pthread_mutex_unlock(&mutex);
    return known ? c : NULL;
}

/* The function on top of the stack is the file's. */
static void keep_code(lua_State *L, size_t index)
{
    struct code made = {0};
    lua_dump(L, append, &made, 0); /* with its lines and names: errors read the same */
    pthread_mutex_lock(&mutex);
    if (codes[index].size == 0) {
        made.loads = codes[index].loads;
        codes[index] = made;
        made.bytes = NULL;
    }
    pthread_mutex_unlock(&mutex);
    tl_mem_free(made.bytes);
}

int tl_embedded_load(lua_State *L, const struct tl_embedded_file *f)
{
    size_t index = (size_t)(f - tl_embedded_files);
    bool keep = false;
    const struct code *c = index < FILES_MAX ? find(index, &keep) : NULL;
    if (c) {
        return luaL_loadbufferx(L, c->bytes, c->size, f->chunk_name, "b");
    }
    int rc = luaL_loadbufferx(L, f->text, f->size, f->chunk_name, "t");
    if (rc == LUA_OK && keep) {
        keep_code(L, index);
    }
    return rc;
}
