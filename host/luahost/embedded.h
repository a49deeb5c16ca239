/* The Lua files of lua/ as constants of the program, so that the binary needs no installation.
 * Generated at build time by tools/gen/embed.lua. Thread: any; read-only. */
#pragma once

#include <lua.h>
#include <stddef.h>

struct tl_embedded_file {
    const char *module;     /* "temporal.client"; NULL ends the list */
    const char *chunk_name; /* "@temporal/client.lua" */
    const char *text;
    size_t size;
};

extern const struct tl_embedded_file tl_embedded_files[];

/* [-0, +1] Pushes the function of a file of that list, or an error message; returns Lua's code. It is compiled
 * for the first two states; later ones, of activity threads as a rule, take over what came of it. */
int tl_embedded_load(lua_State *L, const struct tl_embedded_file *f);
