/* Names of activities and of Nexus operations, and what runs them. Filled before a worker starts, read-only
 * afterwards. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"
#include "worker/operation.h"
#include "worker/registry_int.h"

struct entry {
    struct tl_str name; /* the map's key */
    struct tl_activity_impl impl;
};

struct operation {
    char *service, *name;
    struct tl_operation_impl impl;
};

struct tl_registry {
    struct tl_map names;
    struct entry **list;
    size_t count;
    struct operation *operations; /* few: looked through */
    size_t operation_count;
    struct tl_thread_hooks hooks;
    struct tl_list modules; /* of struct tl_registry_module */
};

struct tl_registry *tl_registry_new(void)
{
    struct tl_registry *r = TL_NEW(struct tl_registry);
    tl_map_init(&r->names);
    tl_list_init(&r->modules);
    return r;
}

void tl_registry_free(struct tl_registry *r)
{
    if (!r) {
        return;
    }
    for (size_t i = 0; i < r->count; i++) {
        tl_mem_free((char *)(uintptr_t)r->list[i]->name.p);
        tl_mem_free(r->list[i]);
    }
    tl_mem_free(r->list);
    for (size_t i = 0; i < r->operation_count; i++) {
        tl_mem_free(r->operations[i].service);
        tl_mem_free(r->operations[i].name);
    }
    tl_mem_free(r->operations);
    tl_map_deinit(&r->names);
    while (!tl_list_empty(&r->modules)) { /* functions before the object they live in */
        struct tl_registry_module *m =
            TL_CONTAINER(r->modules.prev, struct tl_registry_module, node);
        tl_list_remove(&m->node);
        m->release(m);
    }
    tl_mem_free(r);
}

tl_rc tl_registry_add(struct tl_registry *r, struct tl_str name,
                      const struct tl_activity_impl *impl, struct tl_error *err)
{
    TL_ASSERT(impl->run != NULL);
    if (tl_map_get(&r->names, name)) {
        return tl_error_set(err, TL_EEXISTS, "two activities are named '%.*s'", TL_STR_FMT(name));
    }
    struct entry *e = TL_NEW(struct entry);
    e->name = tl_str_n(tl_mem_dup(name), name.n);
    e->impl = *impl;
    r->list = tl_mem_realloc(r->list, (r->count + 1) * sizeof *r->list);
    r->list[r->count++] = e;
    tl_map_put(&r->names, name, e);
    return TL_OK;
}

void tl_registry_remove_last(struct tl_registry *r, size_t activities, size_t operations)
{
    while (r->operation_count > operations) {
        struct operation *o = &r->operations[--r->operation_count];
        tl_mem_free(o->service);
        tl_mem_free(o->name);
    }
    while (r->count > activities) {
        struct entry *e = r->list[--r->count];
        tl_map_del(&r->names, e->name);
        tl_mem_free((char *)(uintptr_t)e->name.p);
        tl_mem_free(e);
    }
}

void tl_registry_thread_hooks(struct tl_registry *r, const struct tl_thread_hooks *hooks)
{
    r->hooks = *hooks;
}

const struct tl_thread_hooks *tl_registry_hooks(const struct tl_registry *r)
{
    return &r->hooks;
}

void tl_registry_adopt_module(struct tl_registry *r, struct tl_registry_module *m)
{
    tl_list_push(&r->modules, &m->node);
}

const struct tl_activity_impl *tl_registry_find(const struct tl_registry *r, struct tl_str name)
{
    const struct entry *e = name.n ? tl_map_get(&r->names, name) : NULL;
    if (!e) {
        e = tl_map_get(&r->names, TL_STR_LIT(""));
    }
    return e ? &e->impl : NULL;
}

size_t tl_registry_count(const struct tl_registry *r)
{
    return r->count;
}

static int name_cmp(const void *a, const void *b)
{
    const struct tl_str *x = a, *y = b;
    return tl_str_cmp(*x, *y);
}

const struct tl_str *tl_registry_names(const struct tl_registry *r, struct tl_arena *arena)
{
    struct tl_str *names = TL_ARENA_ARRAY(arena, struct tl_str, r->count);
    for (size_t i = 0; names && i < r->count; i++) {
        names[i] = r->list[i]->name;
    }
    if (names) {
        qsort(names, r->count, sizeof *names, name_cmp);
    }
    return names;
}

/* --- Nexus operations -------------------------------------------------------------------------- */

tl_rc tl_registry_add_operation(struct tl_registry *r, struct tl_str service,
                                struct tl_str operation, const struct tl_operation_impl *impl,
                                struct tl_error *err)
{
    TL_ASSERT(impl->run != NULL);
    if (tl_registry_find_operation(r, service, operation)) {
        return tl_error_set(err, TL_EEXISTS,
                            "operation '%.*s' of service '%.*s' is registered twice",
                            TL_STR_FMT(operation), TL_STR_FMT(service));
    }
    r->operations = tl_mem_realloc(r->operations, (r->operation_count + 1) * sizeof *r->operations);
    r->operations[r->operation_count++] =
        (struct operation){tl_mem_dup(service), tl_mem_dup(operation), *impl};
    return TL_OK;
}

const struct tl_operation_impl *tl_registry_find_operation(const struct tl_registry *r,
                                                           struct tl_str service,
                                                           struct tl_str operation)
{
    for (size_t i = 0; i < r->operation_count; i++) {
        const struct operation *o = &r->operations[i];
        if (tl_str_eqc(service, o->service) && tl_str_eqc(operation, o->name)) {
            return &o->impl;
        }
    }
    return NULL;
}

size_t tl_registry_operation_count(const struct tl_registry *r)
{
    return r->operation_count;
}

void tl_registry_operation_at(const struct tl_registry *r, size_t index, struct tl_str *service,
                              struct tl_str *operation)
{
    TL_ASSERT(index < r->operation_count);
    *service = tl_str(r->operations[index].service);
    *operation = tl_str(r->operations[index].name);
}
