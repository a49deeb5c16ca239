/* See bundle.h. Thread: open and close on one thread, reading on any. Owner: the bundle owns its
 * texts and bytecode. */
#include "luart/bundle_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "luart/intercept.h"
#include "luart/wf.h"

#define PROBE_STEPS UINT64_C(500000000)

/* --- modules ---------------------------------------------------------------------------------- */

static struct tl_str own(struct tl_str s)
{
    return (struct tl_str){tl_mem_dup(s), s.n};
}

static void drop(struct tl_str *s)
{
    tl_mem_free((void *)(uintptr_t)s->p);
    *s = (struct tl_str){NULL, 0};
}

static bool mentions(struct tl_str text, const char *word)
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
        mixed = mixed || mentions(text, marks[i]);
    }
    return mixed;
}

struct tl_bundle_module *tl_bundle_add_module(struct tl_bundle *b, struct tl_str name,
                                              struct tl_str file, struct tl_str text)
{
    struct tl_bundle_module *m = TL_NEW(struct tl_bundle_module);
    m->name = own(name);
    m->file = file;
    m->text = text;
    for (size_t i = 0; b->config->activity_modules && b->config->activity_modules[i]; i++) {
        m->named_activity =
            m->named_activity || tl_bundle_matches(b->config->activity_modules[i], name);
    }
    m->mixed = looks_mixed(text);
    tl_map_put(&b->modules, m->name, m);
    b->bytes += sizeof *m + m->name.n + file.n + text.n;
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
static void compile(lua_State *L, struct tl_bundle *b, struct tl_bundle_module *m)
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
    b->bytes += m->code.n;
}

const struct tl_bundle_module *tl_bundle_module_find(const struct tl_bundle *b, struct tl_str name)
{
    const struct tl_bundle_module *m = tl_map_get(&b->modules, name);
    return m && (m->code.p || m->frozen_index || m->kind == TL_MODULE_ACTIVITY) ? m : NULL;
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
    compile(L, b, m);
    if (m->kind == TL_MODULE_ACTIVITY) {
        tl_bundle_probe_activities(b, m);
    }
    return m;
}

/* --- evaluating ------------------------------------------------------------------------------- */

void tl_bundle_record_workflow(lua_State *L, struct tl_lua_run *run, struct tl_str type,
                               struct tl_str versioning, bool unsandboxed)
{
    struct tl_probe *p = run->probe;
    if (!p || !p->entry) {
        return;
    }
    for (size_t i = 0; i < p->found_count; i++) {
        if (tl_str_eq(p->found[i].type, type)) {
            luaL_error(L,
                       type.n ? "the workflow \"%s\" is defined twice"
                              : "the dynamic workflow is defined twice%s",
                       type.p);
        }
    }
    struct found_workflow *grown =
        tl_cmd_need(L, TL_ARENA_ARRAY(&p->arena, struct found_workflow, p->found_count + 1));
    if (p->found_count) {
        memcpy(grown, p->found, p->found_count * sizeof *grown);
    }
    grown[p->found_count] =
        (struct found_workflow){tl_arena_str(&p->arena, type), run->loading,
                                tl_arena_str(&p->arena, versioning), unsandboxed};
    tl_cmd_need(L, (void *)(uintptr_t)grown[p->found_count].type.p);
    p->found = grown;
    p->found_count++;
}

static tl_rc add_workflow(struct tl_probe *p, const struct found_workflow *f)
{
    struct tl_bundle *b = p->b;
    for (size_t i = 0; i < b->workflow_count; i++) {
        if (!tl_str_eq(b->workflows[i].type, f->type)) {
            continue;
        }
        if (tl_str_eq(b->defined_in[i], f->module)) {
            return TL_OK; /* seen through another module */
        }
        return tl_error_set(p->err, TL_EEXISTS,
                            "the %s\"%.*s\" is defined by two modules: %.*s and %.*s",
                            f->type.n ? "workflow " : "dynamic workflow ", TL_STR_FMT(f->type),
                            TL_STR_FMT(b->defined_in[i]), TL_STR_FMT(f->module));
    }
    size_t n = b->workflow_count;
    b->workflows = tl_mem_realloc(b->workflows, (n + 1) * sizeof *b->workflows);
    b->defined_in = tl_mem_realloc(b->defined_in, (n + 1) * sizeof *b->defined_in);
    b->workflows[n] = (struct tl_bundle_workflow){
        own(f->type),       own(p->entry->name), own(p->entry->file),
        own(f->versioning), f->type.n == 0,      f->unsandboxed || b->unsandboxed};
    b->defined_in[n] = own(f->module);
    b->workflow_count++;
    return TL_OK;
}

/* Whether the entry's value (at index 1) names this definition: one, or a list. */
static bool returns_definition(lua_State *L, struct tl_str type)
{
    struct tl_str name;
    if (tl_wf_definition_name(L, 1, &name)) {
        return tl_str_eq(name, type);
    }
    bool found = false;
    lua_Integer n = lua_istable(L, 1) ? (lua_Integer)lua_rawlen(L, 1) : 0;
    for (lua_Integer i = 1; i <= n && !found; i++) {
        lua_rawgeti(L, 1, i);
        found = tl_wf_definition_name(L, -1, &name) && tl_str_eq(name, type);
        lua_pop(L, 1);
    }
    return found;
}

/* Protected: loads the entry and sorts out which definitions are its own. */
static int load_entry(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_probe *p = run->probe;
    lua_settop(L, 0);
    tl_module_require(L, run, p->entry->name);
    for (size_t i = 0; i < p->found_count && p->rc == TL_OK; i++) {
        if (tl_str_eq(p->found[i].module, p->entry->name) ||
            returns_definition(L, p->found[i].type)) {
            p->rc = add_workflow(p, &p->found[i]);
        }
    }
    return 0;
}

/* Protected: loads the interceptors as a run does, so that what is wrong with them is said now. */
static int load_interceptors(lua_State *L)
{
    tl_intercept_load(L, tl_run_of(L));
    return 0;
}

static tl_rc run_entry(struct tl_lua_run *run, void *ud)
{
    struct tl_probe *p = ud;
    lua_State *L = tl_state_aux(run);
    tl_state_switch(run, L);
    lua_pushcfunction(L, p->interceptors ? load_interceptors : load_entry);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
        return tl_error_set(p->err, TL_ESCRIPT, "%s", tl_sandbox_tostring(L, -1, NULL));
    }
    return p->rc;
}

static struct tl_lua_run *new_probe(struct tl_probe *p, struct tl_error *err)
{
    const struct tl_bundle_config *c = p->b->config;
    struct tl_lua_run_config config = {
        .memory_bytes_max = c->memory_bytes_max,
        .steps_max = c->steps_max ? c->steps_max : PROBE_STEPS,
    };
    struct tl_lua_run *run = tl_state_new(&config, NULL, err);
    if (run) {
        run->bundle = p->b;
        run->probe = p;
        run->phase = TL_PHASE_PROBE;
        run->unsandboxed = p->b->unsandboxed;
        run->arena = &p->arena;
        tl_rng_seed(&run->rng, 0);
    }
    return run;
}

/* Evaluates a workflow module; m NULL: the interceptors. */
static tl_rc probe_entry(struct tl_bundle *b, struct tl_bundle_module *m, struct tl_error *err)
{
    struct tl_error own_error;
    struct tl_probe p = {.b = b, .entry = m, .interceptors = !m, .err = err ? err : &own_error};
    tl_arena_init(&p.arena, 64 << 20);
    struct tl_lua_run *run = new_probe(&p, err);
    tl_rc rc = run ? tl_state_enter(run, run_entry, &p, err) : TL_EMEMORY;
    if (rc == TL_EDEADLOCK) {
        tl_error_wrap(err, rc, "loading %.*s",
                      TL_STR_FMT(m ? m->name : TL_STR_LIT("the interceptors")));
    }
    tl_state_free(run);
    tl_arena_deinit(&p.arena);
    return rc;
}

/* --- activity modules ------------------------------------------------------------------------- */

bool tl_bundle_probes_activity(const struct tl_lua_run *run)
{
    return run->probe && run->probe->activity;
}

void tl_bundle_record_activity(lua_State *L, struct tl_lua_run *run, struct tl_str name,
                               int options)
{
    struct tl_probe *p = run->probe;
    if (!p || !p->activity) {
        return;
    }
    struct tl_bundle_activity *grown =
        tl_cmd_need(L, TL_ARENA_ARRAY(&p->arena, struct tl_bundle_activity, p->activity_count + 1));
    if (p->activity_count) {
        memcpy(grown, p->activities, p->activity_count * sizeof *grown);
    }
    struct tl_bundle_activity *a = &grown[p->activity_count];
    a->name = tl_arena_str(&p->arena, name);
    if (lua_istable(L, options)) {
        a->options = tl_vm_json_encode(L, options, &p->arena, "activity.define: options");
    }
    p->activities = grown;
    p->activity_count++;
}

static void keep_activity(struct tl_bundle_module *m, struct tl_str key,
                          const struct tl_bundle_activity *from)
{
    size_t n = m->activity_count;
    m->activities = tl_mem_realloc(m->activities, (n + 1) * sizeof *m->activities);
    m->activities[n] = (struct tl_bundle_activity){own(key), own(from->name), own(from->options)};
    m->activity_count++;
}

/* by_type: its key is its type. */
static void keep_ref(lua_State *L, struct tl_probe *p, struct tl_str key, int value, bool by_type)
{
    struct tl_str name;
    lua_pushliteral(L, "name");
    lua_rawget(L, value);
    name.p = lua_tolstring(L, -1, &name.n);
    for (size_t i = 0; i < p->activity_count; i++) {
        if (tl_str_eq(p->activities[i].name, name)) {
            keep_activity(p->activity, by_type ? name : key, &p->activities[i]);
            break;
        }
    }
    lua_pop(L, 1);
}

/* What activity.object made, as an entry of a table. */
static void look_into(lua_State *L, struct tl_probe *p, int value)
{
    for (lua_pushnil(L); lua_next(L, value); lua_pop(L, 1)) {
        int entry = lua_gettop(L);
        if (tl_wf_is_activity(L, entry)) {
            keep_ref(L, p, (struct tl_str){NULL, 0}, entry, true);
        }
    }
}

/* What the module's value has under one key: a reference made by define, a function, an object. */
static void look_at(lua_State *L, struct tl_probe *p, int key, int value)
{
    struct tl_str k = {NULL, 0};
    if (lua_type(L, key) == LUA_TSTRING) {
        k.p = lua_tolstring(L, key, &k.n);
    }
    if (lua_isfunction(L, value) && k.n) {
        if (!tl_wf_is_hook(k)) {
            keep_activity(p->activity, k, &(struct tl_bundle_activity){.name = k});
        }
    } else if (tl_wf_is_activity(L, value)) {
        keep_ref(L, p, k, value, false);
    } else if (lua_istable(L, value)) {
        look_into(L, p, value);
    }
}

static int load_activities(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_probe *p = run->probe;
    lua_settop(L, 0);
    tl_module_require(L, run, p->activity->name);
    if (tl_wf_is_activity(L, 1)) {
        lua_pushnil(L);
        look_at(L, p, 2, 1);
        p->activity->activity_single = true;
        return 0;
    }
    if (!lua_istable(L, 1)) {
        return 0;
    }
    lua_pushcfunction(L, tl_lib_pairs);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    while (lua_pushvalue(L, 2), lua_call(L, 0, 2), !lua_isnil(L, 3)) {
        look_at(L, p, 3, 4);
        lua_settop(L, 2);
    }
    return 0;
}

static tl_rc run_activities(struct tl_lua_run *run, void *ud)
{
    lua_State *L = tl_state_aux(run);
    (void)ud;
    tl_state_switch(run, L);
    lua_pushcfunction(L, load_activities);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
        return tl_error_set(run->task_error, TL_ESCRIPT, "%s", tl_sandbox_tostring(L, -1, NULL));
    }
    return TL_OK;
}

void tl_bundle_probe_activities(struct tl_bundle *b, struct tl_bundle_module *m)
{
    struct tl_error err;
    struct tl_probe p = {.b = b, .activity = m, .err = &err};
    tl_arena_init(&p.arena, 64 << 20);
    struct tl_lua_run *run = new_probe(&p, &err);
    m->mixed = true; /* whatever is not there is inert */
    tl_rc rc = run ? tl_state_enter(run, run_activities, NULL, &err) : TL_EMEMORY;
    if (m->activity_count == 0) {
        for (size_t i = 0; i < p.activity_count; i++) {
            keep_activity(m, (struct tl_str){NULL, 0}, &p.activities[i]);
        }
    }
    if (rc != TL_OK) {
        TL_LOG(TL_LOG_WARN, "bundle.activities_looked_at", TL_S("module", m->name),
               TL_I("activities", m->activity_count), TL_C("problem", err.message));
    }
    tl_state_free(run);
    tl_arena_deinit(&p.arena);
}

/* --- opening ---------------------------------------------------------------------------------- */

static tl_rc add_entry(void *ud, struct tl_str name, const char *path, struct tl_error *err)
{
    struct tl_bundle *b = ud;
    struct tl_bundle_module *m = tl_map_get(&b->modules, name);
    if (!m) {
        struct tl_str file, text;
        tl_rc rc;
        if (path) {
            rc = tl_bundle_read_file(b, path, &text, err);
            if (rc == TL_OK) {
                file = own(tl_str(strrchr(path, '/') + 1));
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
    return TL_OK;
}

static tl_rc add_entries(struct tl_bundle *b, struct tl_error *err)
{
    const struct tl_bundle_config *c = b->config;
    tl_rc rc = TL_OK;
    for (size_t i = 0; i < c->source_count && rc == TL_OK; i++) {
        bool activity = false;
        for (size_t k = 0; c->activity_modules && c->activity_modules[k]; k++) {
            activity = activity || tl_bundle_matches(c->activity_modules[k], c->sources[i].name);
        }
        if (!activity) {
            rc = add_entry(b, c->sources[i].name, NULL, err);
        }
    }
    for (size_t i = 0; c->workflow_modules && c->workflow_modules[i] && rc == TL_OK; i++) {
        rc = tl_bundle_expand(b, c->workflow_modules[i], add_entry, b, err);
    }
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
            .module = own(from->module), .config = own(from->config)};
        struct tl_bundle_module *m = tl_map_get(&b->modules, from->module);
        if (!m) {
            struct tl_str file, text;
            if (from->text.n) {
                text = own(from->text);
                file = own(from->module);
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

struct scan {
    struct tl_bundle *b;
    struct tl_lua_run *run;
    tl_rc rc;
    struct tl_error *err;
};

static int load_found(lua_State *L)
{
    struct tl_str name;
    name.p = lua_tolstring(L, 1, &name.n);
    tl_bundle_module_load(L, tl_run_of(L), name);
    return 0;
}

/* A module that the text requires somewhere, perhaps when a workflow runs: it must be in the bundle
 * then. One that does not exist is an error only if it is asked for. */
static void add_required(void *ud, struct tl_str name)
{
    struct scan *s = ud;
    lua_State *L = tl_state_aux(s->run);
    if (s->rc != TL_OK || tl_map_get(&s->b->modules, name)) {
        return;
    }
    lua_pushcfunction(L, load_found);
    lua_pushlstring(L, name.p, name.n);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        s->rc = tl_error_set(s->err, TL_ESCRIPT, "%s", tl_sandbox_tostring(L, -1, NULL));
    }
}

static tl_rc scan_all(struct tl_lua_run *run, void *ud)
{
    struct scan *s = ud;
    s->run = run;
    /* New modules go to the end of the map, so this reaches what they require too. */
    for (struct tl_map_entry *e = tl_map_first(&s->b->modules); e && s->rc == TL_OK;
         e = tl_map_next(&s->b->modules, e)) {
        const struct tl_bundle_module *m = e->value;
        if (m->kind == TL_MODULE_CODE) {
            tl_bundle_scan_requires(m->text, add_required, s);
        }
        if (m->kind == TL_MODULE_CODE && mentions(m->text, ".model")) { /* perhaps temporal.model */
            add_required(s, TL_STR_LIT("temporal.model"));
        }
        if (m->kind == TL_MODULE_CODE && mentions(m->text, ".proto")) {
            add_required(s, TL_STR_LIT("temporal.proto"));
        }
    }
    return s->rc;
}

static tl_rc add_dependencies(struct tl_bundle *b, struct tl_error *err)
{
    struct tl_error own_error;
    struct scan s = {.b = b, .err = err ? err : &own_error};
    struct tl_probe p = {.b = b, .err = s.err};
    tl_arena_init(&p.arena, 64 << 20);
    struct tl_lua_run *run = new_probe(&p, err);
    tl_rc rc = run ? tl_state_enter(run, scan_all, &s, err) : TL_EMEMORY;
    tl_state_free(run);
    tl_arena_deinit(&p.arena);
    return rc;
}

static tl_rc run_converters(struct tl_lua_run *run, void *ud)
{
    lua_State *L = tl_state_aux(run);
    (void)ud;
    tl_state_switch(run, L);
    lua_pushcfunction(L, tl_converters_probe);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
        return tl_error_set(run->task_error, TL_ESCRIPT, "%s", tl_sandbox_tostring(L, -1, NULL));
    }
    return TL_OK;
}

/* Takes the converters' modules in and looks whether they are any. */
static tl_rc add_converters(struct tl_bundle *b, struct tl_error *err)
{
    const char *const *names = b->config->converter_modules;
    size_t n = 0;
    while (names && names[n]) {
        n++;
    }
    b->converters = TL_NEW_ARRAY(char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        b->converters[i] = tl_mem_dup(tl_str(names[i]));
    }
    if (n == 0) {
        return TL_OK;
    }
    struct tl_error own_error;
    struct tl_probe p = {.b = b, .err = err ? err : &own_error};
    tl_arena_init(&p.arena, 64 << 20);
    struct tl_lua_run *run = new_probe(&p, err);
    tl_rc rc = run ? tl_state_enter(run, run_converters, NULL, err) : TL_EMEMORY;
    tl_state_free(run);
    tl_arena_deinit(&p.arena);
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
    if (rc == TL_OK && b->interceptor_count) {
        rc = probe_entry(b, NULL, err);
    }
    TL_MAP_EACH (e, &b->modules) {
        struct tl_bundle_module *m = e->value;
        if (rc == TL_OK && m->entry) {
            rc = probe_entry(b, m, err);
        }
    }
    if (rc == TL_OK) {
        rc = add_converters(b, err);
    }
    if (rc == TL_OK) {
        rc = add_dependencies(b, err);
    }
    sort_all(b);
    if (rc == TL_OK) {
        rc = tl_bundle_freeze(b, err);
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
    tl_vm_heap_drop(&b->code_heap);
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
    }
}

int tl_bundle_semantics_version(void)
{
    return TL_VM_SEMANTICS_VERSION * 1000 + 1; /* VM, then library */
}

size_t tl_bundle_bytes(const struct tl_bundle *b)
{
    return b->bytes;
}
