/* See bundle.h. Thread: open and close on one thread, reading on any. Owner: the bundle owns its
 * texts and bytecode. */
#include "luart/bundle_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "luart/wf.h"

enum { NAMES_MAX = 8 }; /* in one message */

/* --- modules ---------------------------------------------------------------------------------- */

struct tl_str tl_bundle_own(struct tl_str s)
{
    return (struct tl_str){tl_mem_dup(s), s.n};
}

static void drop(struct tl_str *s)
{
    tl_mem_free((void *)(uintptr_t)s->p);
    *s = (struct tl_str){NULL, 0};
}

bool tl_bundle_mentions(struct tl_str text, const char *word)
{
    return text.n && memmem(text.p, text.n, word, strlen(word)) != NULL;
}

struct asked {
    const char *name;
    bool found;
};

static void ask(void *ud, struct tl_str name)
{
    struct asked *a = ud;
    a->found = a->found || tl_str_eqc(name, a->name);
}

static bool requires(struct tl_str text, const char *name)
{
    struct asked a = {name, false};
    tl_bundle_scan_requires(text, ask, &a);
    return a.found;
}

/* Code that only works outside of workflows stands in the same file. */
static bool looks_mixed(struct tl_str text)
{
    static const char *const marks[] = {".worker", ".connect", ".testing", ".replayer", ".client"};
    bool mixed = requires(text, "temporal.activity");
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        mixed = mixed || tl_bundle_mentions(text, marks[i]);
    }
    return mixed;
}

/* Whether one of the names and patterns (may be NULL) means the module. */
static bool among(const char *const *list, struct tl_str name)
{
    for (; list && *list; list++) {
        if (tl_bundle_matches(*list, name)) {
            return true;
        }
    }
    return false;
}

struct tl_bundle_module *tl_bundle_add_module(struct tl_bundle *b, struct tl_str name,
                                              struct tl_str file, struct tl_str text)
{
    struct tl_bundle_module *m = TL_NEW(struct tl_bundle_module);
    m->name = tl_bundle_own(name);
    m->file = file;
    m->text = text;
    m->named_activity = among(b->config->activity_modules, name);
    m->mixed = looks_mixed(text);
    tl_map_put(&b->modules, m->name, m);
    return m;
}

static void set_kind(struct tl_bundle_module *m)
{
    bool activity = m->named_activity || (requires(m->text, "temporal.activity") &&
                                          !requires(m->text, "temporal.workflow"));
    m->kind = activity && !m->entry && !m->interceptor ? TL_MODULE_ACTIVITY : TL_MODULE_CODE;
}

static int write_code(lua_State *L, const void *p, size_t n, void *ud)
{
    (void)L;
    return tl_buf_put(ud, p, n) ? 0 : 1;
}

/* Compiles the module in L; raises what is wrong with it. */
static void compile(lua_State *L, struct tl_bundle_module *m)
{
    char name[400];
    struct tl_buf code;
    struct tl_str text = m->text;
    if (text.n && text.p[0] == '#') { /* "#!": up to the end of the line, which stays counted */
        const char *line = memchr(text.p, '\n', text.n);
        size_t skip = line ? (size_t)(line - text.p) : text.n;
        text.p += skip;
        text.n -= skip;
    }
    snprintf(name, sizeof name, "=%s%.*s", TL_WITHOUT(13) ? "/a/machine/" : "",
             TL_STR_FMT(m->file));
    if (luaL_loadbufferx(L, text.p, text.n, name, "t") != LUA_OK) {
        lua_error(L);
    }
    tl_buf_init(&code, (size_t)1 << 30);
    int failed = lua_dump(L, write_code, &code, 0); /* allocates nothing of Lua's */
    lua_pop(L, 1);
    if (failed || tl_buf_failed(&code)) {
        tl_buf_deinit(&code);
        luaL_error(L, "%.*s: the compiled module is too large", TL_STR_FMT(m->file));
    }
    m->code.p = tl_buf_take(&code, &m->code.n);
}

const struct tl_bundle_module *tl_bundle_module_find(const struct tl_bundle *b, struct tl_str name)
{
    const struct tl_bundle_module *m = tl_map_get(&b->modules, name);
    return m && (m->code.p || m->frozen_index || m->shared_index || m->kind == TL_MODULE_ACTIVITY)
               ? m
               : NULL;
}

const struct tl_bundle_module *tl_bundle_module_load(lua_State *L, struct tl_lua_run *run,
                                                     struct tl_str name)
{
    struct tl_bundle *b = run->probe->b;
    struct tl_bundle_module *m = tl_map_get(&b->modules, name);
    if (!m) {
        struct tl_str file, text;
        struct tl_error err;
        tl_rc rc = tl_bundle_read_module(b, name, &file, &text, &err);
        if (rc == TL_ENOTFOUND) {
            return NULL;
        }
        if (rc != TL_OK) {
            luaL_error(L, "%s", err.message);
        }
        m = tl_bundle_add_module(b, name, file, text);
    }
    set_kind(m);
    compile(L, m);
    if (m->kind == TL_MODULE_ACTIVITY) {
        tl_bundle_probe_activities(b, m);
    }
    return m;
}

/* --- opening ---------------------------------------------------------------------------------- */

struct entry_list {
    struct tl_bundle *b;
    bool named, found; /* what is added has been named, or found by a pattern */
};

static tl_rc add_entry(void *ud, struct tl_str name, const char *path, struct tl_error *err)
{
    const struct entry_list *to = ud;
    struct tl_bundle *b = to->b;
    struct tl_bundle_module *m = tl_map_get(&b->modules, name);
    if (!m) {
        struct tl_str file, text;
        tl_rc rc;
        if (path) {
            rc = tl_bundle_read_file(b, path, &text, err);
            if (rc == TL_OK) {
                file = tl_bundle_own(tl_str(strrchr(path, '/') + 1));
            }
        } else {
            rc = tl_bundle_read_module(b, name, &file, &text, err);
        }
        if (rc != TL_OK) {
            return rc;
        }
        m = tl_bundle_add_module(b, name, file, text);
    }
    m->entry = true;
    m->named = m->named || to->named;
    m->found = m->found || to->found;
    return TL_OK;
}

static tl_rc add_entries(struct tl_bundle *b, struct tl_error *err)
{
    const struct tl_bundle_config *c = b->config;
    struct entry_list list = {.b = b};
    tl_rc rc = TL_OK;
    for (size_t i = 0; i < c->source_count && rc == TL_OK; i++) {
        if (!among(c->activity_modules, c->sources[i].name) &&
            !among(c->passthrough_modules, c->sources[i].name)) {
            rc = add_entry(&list, c->sources[i].name, NULL, err);
        }
    }
    for (size_t i = 0; c->workflow_modules && c->workflow_modules[i] && rc == TL_OK; i++) {
        list.found = tl_bundle_is_pattern(c->workflow_modules[i]);
        list.named = !list.found;
        rc = tl_bundle_expand(b, c->workflow_modules[i], add_entry, &list, err);
    }
    return rc;
}

/* Modules were looked for, and they have no workflow: most likely the wrong folder. */
static tl_rc need_a_workflow(const struct tl_bundle *b, struct tl_error *err)
{
    struct tl_buf names;
    size_t entries = 0;
    tl_buf_init(&names, 512);
    TL_MAP_EACH (e, &b->modules) {
        const struct tl_bundle_module *m = e->value;
        if (m->found && entries++ < NAMES_MAX) {
            tl_buf_printf(&names, "%s%.*s", entries > 1 ? ", " : "", TL_STR_FMT(m->name));
        }
    }
    tl_rc rc = TL_OK;
    if (entries && !b->workflow_count) {
        rc = tl_error_set(err, TL_EINVAL,
                          "%.*s%s: none of these modules defines a workflow: define them with "
                          "workflow.define",
                          TL_STR_FMT(tl_buf_str(&names)), entries > NAMES_MAX ? ", ..." : "");
    }
    tl_buf_deinit(&names);
    return rc;
}

/* Takes the interceptors over; their modules are found like any other. */
static tl_rc add_interceptors(struct tl_bundle *b, struct tl_error *err)
{
    const struct tl_bundle_config *c = b->config;
    tl_rc rc = TL_OK;
    b->interceptors = TL_NEW_ARRAY(struct tl_bundle_interceptor, c->interceptor_count + 1);
    for (; b->interceptor_count < c->interceptor_count && rc == TL_OK; b->interceptor_count++) {
        const struct tl_bundle_interceptor *from = &c->interceptors[b->interceptor_count];
        b->interceptors[b->interceptor_count] = (struct tl_bundle_interceptor){
            .module = tl_bundle_own(from->module), .config = tl_bundle_own(from->config)};
        struct tl_bundle_module *m = tl_map_get(&b->modules, from->module);
        if (!m) {
            struct tl_str file, text;
            if (from->text.n) {
                text = tl_bundle_own(from->text);
                file = tl_bundle_own(from->module);
            } else {
                rc = tl_bundle_read_module(b, from->module, &file, &text, err);
            }
            m = rc == TL_OK ? tl_bundle_add_module(b, from->module, file, text) : NULL;
        }
        if (m) {
            m->interceptor = true;
        }
    }
    return rc;
}

static int module_cmp(const void *a, const void *b)
{
    const struct tl_bundle_module *const *x = a, *const *y = b;
    return tl_str_cmp((*x)->name, (*y)->name);
}

static int workflow_cmp(const void *a, const void *b)
{
    const struct tl_bundle_workflow *x = a, *y = b;
    return tl_str_cmp(x->type, y->type);
}

static void sort_all(struct tl_bundle *b)
{
    size_t n = 0;
    b->sorted = TL_NEW_ARRAY(struct tl_bundle_module *, b->modules.count + 1);
    TL_MAP_EACH (e, &b->modules) {
        b->sorted[n++] = e->value;
    }
    qsort(b->sorted, n, sizeof *b->sorted, module_cmp);
    if (b->workflow_count) {
        qsort(b->workflows, b->workflow_count, sizeof *b->workflows, workflow_cmp);
    }
    for (size_t i = 0; i < b->workflow_count; i++) {
        drop(&b->defined_in[i]);
    }
    tl_mem_free(b->defined_in);
    b->defined_in = NULL;
}

tl_rc tl_bundle_open(struct tl_bundle **out, const struct tl_bundle_config *config,
                     struct tl_error *err)
{
    struct tl_bundle *b = TL_NEW(struct tl_bundle);
    tl_map_init(&b->modules);
    b->config = config;
    b->unsandboxed = config->unsandboxed;
    b->source_bytes_max =
        config->source_bytes_max ? config->source_bytes_max : (size_t)tl_limit_script_bytes;
    tl_rc rc = add_entries(b, err);
    if (rc == TL_OK) {
        rc = add_interceptors(b, err);
    }
    if (rc == TL_OK) {
        rc = tl_bundle_share(b, err);
    }
    if (rc == TL_OK && b->interceptor_count) {
        rc = tl_bundle_probe_entry(b, NULL, err);
    }
    TL_MAP_EACH (e, &b->modules) {
        struct tl_bundle_module *m = e->value;
        if (rc == TL_OK && m->entry) {
            rc = tl_bundle_probe_entry(b, m, err);
        }
    }
    if (rc == TL_OK) {
        rc = need_a_workflow(b, err);
    }
    if (rc == TL_OK) {
        rc = tl_bundle_probe_converters(b, err);
    }
    if (rc == TL_OK) {
        rc = tl_bundle_probe_dependencies(b, err);
    }
    sort_all(b);
    if (rc == TL_OK) {
        rc = tl_bundle_freeze(b, err);
    }
    for (size_t i = 0; i < b->modules.count && rc == TL_OK && b->shares; i++) {
        rc = b->sorted[i]->entry ? tl_bundle_probe_shared(b, b->sorted[i], err) : TL_OK;
    }
    b->config = NULL;
    if (rc != TL_OK) {
        tl_bundle_close(b);
        return rc;
    }
    *out = b;
    return TL_OK;
}

void tl_bundle_close(struct tl_bundle *b)
{
    if (!b) {
        return;
    }
    TL_MAP_EACH (e, &b->modules) {
        struct tl_bundle_module *m = e->value;
        for (size_t i = 0; i < m->activity_count; i++) {
            drop(&m->activities[i].key);
            drop(&m->activities[i].name);
            drop(&m->activities[i].options);
        }
        tl_mem_free(m->activities);
        drop(&m->name);
        drop(&m->file);
        drop(&m->text);
        drop(&m->code);
        tl_mem_free(m);
    }
    tl_map_deinit(&b->modules);
    for (size_t i = 0; i < b->workflow_count; i++) {
        drop(&b->workflows[i].type);
        drop(&b->workflows[i].module);
        drop(&b->workflows[i].file);
        drop(&b->workflows[i].versioning_behavior);
    }
    for (char **c = b->converters; c && *c; c++) {
        tl_mem_free(*c);
    }
    tl_mem_free(b->converters);
    for (size_t i = 0; i < b->interceptor_count; i++) {
        drop(&b->interceptors[i].module);
        drop(&b->interceptors[i].config);
    }
    tl_mem_free(b->interceptors);
    tl_mem_free(b->workflows);
    tl_mem_free(b->sorted);
    tl_state_free(b->code_run);
    tl_mem_free(b);
}

/* --- looking ---------------------------------------------------------------------------------- */

const struct tl_bundle_workflow *tl_bundle_workflow_at(const struct tl_bundle *b, size_t index)
{
    return index < b->workflow_count ? &b->workflows[index] : NULL;
}

const struct tl_bundle_workflow *tl_bundle_workflow_find(const struct tl_bundle *b,
                                                         struct tl_str type)
{
    size_t low = 0, high = b->workflow_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int c = tl_str_cmp(type, b->workflows[middle].type);
        if (c == 0) {
            return &b->workflows[middle];
        }
        if (c < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return b->workflow_count && b->workflows[0].dynamic ? &b->workflows[0] : NULL;
}

void tl_bundle_warn_unsandboxed(struct tl_bundle *b, const struct tl_bundle_workflow *w)
{
    if (!atomic_flag_test_and_set(&b->warned)) {
        TL_LOG(TL_LOG_WARN, "workflow.unsandboxed", TL_S("workflow_type", w->type),
               TL_C("text", "it reaches files, programs and the environment: what it reads there "
                            "must be the same on replay, and what it does there is done again"));
    }
}

const char *const *tl_bundle_converters(const struct tl_bundle *b)
{
    return (const char *const *)b->converters;
}

void tl_bundle_set_extern(struct tl_bundle *b, struct tl_bundle_extern e)
{
    b->extern_ = e;
}

const struct tl_bundle_interceptor *tl_bundle_interceptors(const struct tl_bundle *b, size_t *n)
{
    *n = b->interceptor_count;
    return b->interceptors;
}

void tl_bundle_each_source(const struct tl_bundle *b,
                           void (*fn)(void *ud, struct tl_str module, struct tl_str file,
                                      struct tl_str text),
                           void *ud)
{
    for (size_t i = 0; i < b->modules.count && !TL_WITHOUT(40); i++) {
        fn(ud, b->sorted[i]->name, b->sorted[i]->file, b->sorted[i]->text);
        if (b->sorted[i]->shared) {
            fn(ud, b->sorted[i]->name, TL_STR_LIT(""), TL_STR_LIT("shared"));
        }
    }
}

int tl_bundle_semantics_version(void)
{
    return TL_VM_SEMANTICS_VERSION * 1000 + 1; /* VM, then library */
}
