/* Inside of bundles; private to bundle*.c. Owner: the bundle owns all text. */
#pragma once

#include "base/map.h"
#include "luart/run_int.h"

struct tl_bundle {
    struct tl_map modules;                /* name -> struct tl_bundle_module */
    struct tl_bundle_module **sorted;     /* by name, once open */
    struct tl_bundle_workflow *workflows; /* sorted by type, once open */
    struct tl_str *defined_in;            /* for each workflow: the module whose text defines it */
    size_t workflow_count;
    char **converters; /* module names, NULL-terminated */
    struct tl_bundle_interceptor *interceptors;
    size_t interceptor_count;
    struct tl_bundle_extern extern_; /* call NULL: the host gives no functions */
    bool unsandboxed;                /* all its workflows */
    atomic_flag warned;              /* that one of them is */
    struct tl_lua_run *code_run; /* its main thread's stack has all chunks and shared values; frozen
                                    once the bundle is open */
    bool frozen;                 /* code_run is */
    bool shares;                 /* there are pass-through modules */
    int shared_meta_index, shared_meta_count; /* pairs of name and metatable on that stack */

    /* while opening */
    const struct tl_bundle_config *config;
    size_t source_bytes_max;
    bool outside; /* modules are looked for along the package path, too */
};

/* What one evaluation collects. */
struct tl_probe {
    struct tl_bundle *b;
    struct tl_arena arena;
    struct tl_bundle_module *entry; /* workflow module under way; NULL: an activity module */
    struct tl_bundle_module *activity;
    struct found_workflow {
        struct tl_str type, module, versioning; /* in the arena */
        bool unsandboxed;
    } * found;
    size_t found_count;
    struct tl_bundle_activity *activities; /* defined so far, in the arena */
    size_t activity_count;
    bool interceptors; /* they are looked at, not a workflow module */
    struct tl_error *err;
    tl_rc rc;
};

/* --- bundle_files.c: finding and reading modules ------------------------------------------------ */

/* Reads the module's text from the configuration or the roots; outside of them where b->outside is
 * set. TL_ENOTFOUND: none. The strings are
 * the caller's (tl_mem_free each p). */
tl_rc tl_bundle_read_module(struct tl_bundle *b, struct tl_str name, struct tl_str *file,
                            struct tl_str *text, struct tl_error *err);
/* Calls fn for each module that a name, path or pattern of the configuration means, sorted.
 * Errors: TL_ENOTFOUND, or what fn returns. */
tl_rc tl_bundle_expand(struct tl_bundle *b, const char *what,
                       tl_rc (*fn)(void *ud, struct tl_str name, const char *path,
                                   struct tl_error *err),
                       void *ud, struct tl_error *err);
/* Whether an entry of the configuration is a pattern ("*", "folder.*") rather than a name or path. */
bool tl_bundle_is_pattern(const char *what);
/* Whether a module name fits an entry of the configuration (a name, a path or a pattern). */
bool tl_bundle_matches(const char *what, struct tl_str name);
/* Reads one file. Errors: TL_ENOTFOUND, TL_ELIMIT, TL_EIO. */
tl_rc tl_bundle_read_file(struct tl_bundle *b, const char *path, struct tl_str *text,
                          struct tl_error *err);
/* Calls fn for each module name that the text requires by a literal. */
void tl_bundle_scan_requires(struct tl_str text, void (*fn)(void *ud, struct tl_str name),
                             void *ud);

/* --- bundle.c ----------------------------------------------------------------------------------- */

/* A new module record; takes over file and text. */
struct tl_bundle_module *tl_bundle_add_module(struct tl_bundle *b, struct tl_str name,
                                              struct tl_str file, struct tl_str text);
/* A copy that the bundle frees when it is closed. */
struct tl_str tl_bundle_own(struct tl_str s);
bool tl_bundle_mentions(struct tl_str text, const char *word);

/* --- bundle_probe.c ----------------------------------------------------------------------------- */

/* A run that ends with the evaluation, on the frozen state `code` or on none. NULL: out of memory. */
struct tl_lua_run *tl_bundle_new_probe(struct tl_probe *p, const lua_State *code,
                                       struct tl_error *err);
/* Evaluates a workflow module, and adds what it defines to the bundle's workflows; m NULL: evaluates
 * the interceptors. Errors: TL_ESCRIPT, TL_EEXISTS (defined twice), TL_EDEADLOCK, TL_EMEMORY. */
tl_rc tl_bundle_probe_entry(struct tl_bundle *b, struct tl_bundle_module *m, struct tl_error *err);
/* Evaluates a workflow module as a run does, with the shared values of the bundle. Errors: the same. */
tl_rc tl_bundle_probe_shared(struct tl_bundle *b, const struct tl_bundle_module *m,
                             struct tl_error *err);
/* Evaluates an activity module for the names in it. Problems are not errors: what was defined up to
 * there counts. */
void tl_bundle_probe_activities(struct tl_bundle *b, struct tl_bundle_module *m);
/* Adds the modules that the texts of those in the bundle require. Errors: TL_ESCRIPT, TL_EMEMORY. */
tl_rc tl_bundle_probe_dependencies(struct tl_bundle *b, struct tl_error *err);
/* Takes the converters' modules in and looks whether they are any. Errors: likewise. */
tl_rc tl_bundle_probe_converters(struct tl_bundle *b, struct tl_error *err);

/* --- bundle_shared.c ---------------------------------------------------------------------------- */

/* Makes the state for the bundle's code and evaluates the pass-through modules in it.
 * Errors: TL_ENOTFOUND, TL_EINVAL (no module to be shared), TL_ESCRIPT, TL_EDEADLOCK, TL_EMEMORY. */
tl_rc tl_bundle_share(struct tl_bundle *b, struct tl_error *err);

/* --- bundle_code.c ------------------------------------------------------------------------------ */

/* Moves the bytecode of all modules into a frozen state, of which runs share functions and strings.
 * Errors: TL_EMEMORY. */
tl_rc tl_bundle_freeze(struct tl_bundle *b, struct tl_error *err);
