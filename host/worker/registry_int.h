/* Private to worker/: what the registry keeps for others. */
#pragma once

#include "base/list.h"
#include "worker/activity.h"

/* Something that must outlive the registered functions: a loaded shared object. */
struct tl_registry_module {
    struct tl_list node;
    void (*release)(struct tl_registry_module *m);
};
/* Owns: m, released with the registry, newest first. */
void tl_registry_adopt_module(struct tl_registry *r, struct tl_registry_module *m);
/* Takes back the newest entries until so many activities and operations are left: a module that failed
 * half-way. */
void tl_registry_remove_last(struct tl_registry *r, size_t activities, size_t operations);
const struct tl_thread_hooks *tl_registry_hooks(const struct tl_registry *r);
