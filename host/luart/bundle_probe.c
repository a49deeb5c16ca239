/* What the modules of a bundle are known by evaluating them, in a run that ends with that: which
 * workflows and activities they define, what they require, whether converters are any.
 * Thread: the one that opens the bundle. Owner: the bundle owns what is kept of an evaluation. */
#include "luart/bundle_int.h"

#include <string.h>

#include "base/mem.h"
#include "luart/intercept.h"
#include "luart/wf.h"

#define PROBE_STEPS UINT64_C(500000000)

/* --- workflow modules ------------------------------------------------------------------------------- */

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
    b->workflows[n] = (struct tl_bundle_workflow){tl_bundle_own(f->type),
                                                  tl_bundle_own(p->entry->name),
                                                  tl_bundle_own(p->entry->file),
                                                  tl_bundle_own(f->versioning),
                                                  f->type.n == 0,
                                                  f->unsandboxed || b->unsandboxed};
    b->defined_in[n] = tl_bundle_own(f->module);
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

static tl_rc defines_none(const struct tl_probe *p)
{
    const struct found_workflow *near = p->found_count ? &p->found[0] : NULL;
    if (!near) {
        return tl_error_set(p->err, TL_EINVAL,
                            "module \"%.*s\" defines no workflow: define one with workflow.define, "
                            "or do not name the module as one with workflows",
                            TL_STR_FMT(p->entry->name));
    }
    return tl_error_set(
        p->err, TL_EINVAL,
        "module \"%.*s\" defines no workflow: \"%.*s\" is defined by %.*s, name that, "
        "or return what it returns",
        TL_STR_FMT(p->entry->name), TL_STR_FMT(near->type), TL_STR_FMT(near->module));
}

/* Protected: loads the entry and sorts out which definitions are its own. */
static int load_entry(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_probe *p = run->probe;
    bool any = false;
    lua_settop(L, 0);
    tl_module_require(L, run, p->entry->name);
    for (size_t i = 0; i < p->found_count && p->rc == TL_OK; i++) {
        if (tl_str_eq(p->found[i].module, p->entry->name) ||
            returns_definition(L, p->found[i].type)) {
            p->rc = add_workflow(p, &p->found[i]);
            any = true;
        }
    }
    if (p->entry->named && !any && p->rc == TL_OK) {
        p->rc = defines_none(p);
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
        const char *text = tl_sandbox_tostring(L, -1, NULL);
        /* What it raised need not say where: the text of a table, or of a module that this one requires. */
        if (!p->interceptors && !memmem(text, strlen(text), p->entry->file.p, p->entry->file.n)) {
            return tl_error_set(p->err, TL_ESCRIPT, "module \"%.*s\": %s",
                                TL_STR_FMT(p->entry->name), text);
        }
        return tl_error_set(p->err, TL_ESCRIPT, "%s", text);
    }
    return p->rc;
}

struct tl_lua_run *tl_bundle_new_probe(struct tl_probe *p, const lua_State *code,
                                       struct tl_error *err)
{
    const struct tl_bundle_config *c = p->b->config;
    struct tl_lua_run_config config = {
        .memory_bytes_max = c->memory_bytes_max,
        .steps_max = c->steps_max ? c->steps_max : PROBE_STEPS,
    };
    struct tl_lua_run *run = tl_state_new(&config, code, err);
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

tl_rc tl_bundle_probe_entry(struct tl_bundle *b, struct tl_bundle_module *m, struct tl_error *err)
{
    struct tl_error own_error;
    struct tl_probe p = {.b = b, .entry = m, .interceptors = !m, .err = err ? err : &own_error};
    tl_arena_init(&p.arena, 64 << 20);
    struct tl_lua_run *run = tl_bundle_new_probe(&p, NULL, err);
    tl_rc rc = run ? tl_state_enter(run, run_entry, &p, err) : TL_EMEMORY;
    if (rc == TL_EDEADLOCK) {
        tl_error_wrap(err, rc, "loading %.*s",
                      TL_STR_FMT(m ? m->name : TL_STR_LIT("the interceptors")));
    }
    tl_state_free(run);
    tl_arena_deinit(&p.arena);
    return rc;
}

static int load_again(lua_State *L)
{
    struct tl_str name;
    name.p = lua_tolstring(L, 1, &name.n);
    tl_module_require(L, tl_run_of(L), name);
    return 0;
}

static tl_rc run_shared(struct tl_lua_run *run, void *ud)
{
    const struct tl_bundle_module *m = ud;
    lua_State *L = tl_state_aux(run);
    tl_bundle_take_shared(run);
    tl_state_switch(run, L);
    lua_pushcfunction(L, load_again);
    lua_pushlstring(L, m->name.p, m->name.n);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        return tl_error_set(run->task_error, TL_ESCRIPT, "%s", tl_sandbox_tostring(L, -1, NULL));
    }
    return TL_OK;
}

tl_rc tl_bundle_probe_shared(struct tl_bundle *b, const struct tl_bundle_module *m,
                             struct tl_error *err)
{
    struct tl_probe p = {.b = b};
    tl_arena_init(&p.arena, 64 << 20);
    struct tl_lua_run *run = tl_bundle_new_probe(&p, tl_bundle_code(b), err);
    tl_rc rc = TL_EMEMORY;
    if (run) {
        run->probe = NULL; /* all that it defines is known */
        rc = tl_state_enter(run, run_shared, (void *)(uintptr_t)m, err);
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
    m->activities[n] = (struct tl_bundle_activity){tl_bundle_own(key), tl_bundle_own(from->name),
                                                   tl_bundle_own(from->options)};
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
    struct tl_lua_run *run = tl_bundle_new_probe(&p, NULL, &err);
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

/* --- what else must be there --------------------------------------------------------------------- */

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
        if (m->kind == TL_MODULE_CODE &&
            tl_bundle_mentions(m->text, ".model")) { /* perhaps temporal.model */
            add_required(s, TL_STR_LIT("temporal.model"));
        }
        if (m->kind == TL_MODULE_CODE && tl_bundle_mentions(m->text, ".proto")) {
            add_required(s, TL_STR_LIT("temporal.proto"));
        }
        if (m->kind == TL_MODULE_CODE && tl_bundle_mentions(m->text, "create_session")) {
            add_required(s, TL_STR_LIT("temporal.session")); /* recreate_session too */
        }
    }
    return s->rc;
}

tl_rc tl_bundle_probe_dependencies(struct tl_bundle *b, struct tl_error *err)
{
    struct tl_error own_error;
    struct scan s = {.b = b, .err = err ? err : &own_error};
    struct tl_probe p = {.b = b, .err = s.err};
    tl_arena_init(&p.arena, 64 << 20);
    struct tl_lua_run *run = tl_bundle_new_probe(&p, NULL, err);
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

tl_rc tl_bundle_probe_converters(struct tl_bundle *b, struct tl_error *err)
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
    struct tl_lua_run *run = tl_bundle_new_probe(&p, NULL, err);
    tl_rc rc = run ? tl_state_enter(run, run_converters, NULL, err) : TL_EMEMORY;
    tl_state_free(run);
    tl_arena_deinit(&p.arena);
    return rc;
}
