/* Lua modules that are part of the library on both sides: host scripts require them from lua/, workflows
 * from their bundle. Generated from lua/ at build time. */
#pragma once

#include <stddef.h>

struct tl_shared_file {
    const char *module, *chunk, *text;
    size_t n;
};
/* The last has module NULL. */
extern const struct tl_shared_file tl_shared_files[];
