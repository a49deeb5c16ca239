/* A bundle: the workflow modules of one build, compiled once, from which runs are made. Opening it
 * loads every named module in workflow mode, so that it knows which module defines which workflow
 * type; modules found by `require` come along.
 *
 * Invariants: immutable once open, so threads share it without a lock; source names are relative to
 * their root ("workflows/order.lua"), never absolute; iteration is sorted by module name.
 * Ownership: a bundle owns its sources and bytecode, and outlives every run made from it.
 * Thread: open and close on one thread; everything else on any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <temporal/api/common/v1/message.pb-c.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

struct tl_bundle;

/* A module given as text instead of a file. */
struct tl_bundle_source {
    struct tl_str name; /* module name: "workflows.order" */
    struct tl_str text;
};

/* A module whose hooks stand around workflows: docs/interceptors.md. */
struct tl_bundle_interceptor {
    struct tl_str module;
    struct tl_str config; /* JSON for a module that returns a function; empty: none */
    struct tl_str text;   /* of a module that does not lie below the roots; else empty */
};

struct tl_bundle_config {
    /* Folders searched for ?.lua and ?/init.lua, in order. NULL-terminated when not NULL. */
    const char *const *roots;
    /* Modules that define workflows: names, patterns ("workflows.*", one level), or the path of one
     * file ("main.lua", relative to a root). NULL-terminated when not NULL. */
    const char *const *workflow_modules;
    /* Modules that define activities (same forms): `require` of one in a workflow yields proxies.
     * A module that requires temporal.activity and not temporal.workflow counts as one unnamed. */
    const char *const *activity_modules;
    /* Modules that return payload converters (convert.h), in the order in which they are asked. Each run
     * loads them first. NULL-terminated when not NULL. */
    const char *const *converter_modules;
    /* Modules given as text; each also counts as a workflow module. They win over files. */
    const struct tl_bundle_source *sources;
    size_t source_count;
    /* Modules, and patterns, whose values all runs share: evaluated once and read-only afterwards, as what they
     * require is. NULL-terminated when not NULL. */
    const char *const *passthrough_modules;
    /* Where such modules are found beside the roots: templates as Lua's package.path; NULL: nowhere. */
    const char *package_path;
    const struct tl_bundle_interceptor *interceptors; /* outermost first; modules of the roots */
    size_t interceptor_count;
    bool
        unsandboxed; /* all workflows have the host's io and os, their modules while they load, too */
    size_t source_bytes_max; /* per module; 0: tl_limit_script_bytes */
    size_t memory_bytes_max; /* of one evaluation; 0: tl_limit_run_memory_bytes */
    uint64_t steps_max;      /* VM instructions of one module's evaluation; 0: 500 million */
};

/* The host's side of extern_functions. Thread: any that runs workflows; it holds the run up. */
struct tl_bundle_extern {
    void *ud;
    /* Calls a function with copies of the arguments (may be NULL); *out is the arena's, NULL: no values.
     * Errors: what it raised. */
    tl_rc (*call)(void *ud, struct tl_str name, const TpCommon__Payloads *args,
                  struct tl_arena *arena, TpCommon__Payloads **out, struct tl_error *err);
};

/* Owns: *out, until tl_bundle_close. Errors: TL_ESCRIPT (a module does not compile or raises: the
 * message has file and line; a value of a pass-through module cannot be shared), TL_ENOTFOUND (a module
 * or pattern that matches nothing), TL_EEXISTS (one workflow type defined by two modules), TL_ELIMIT (too
 * large), TL_EDEADLOCK, TL_EMEMORY. */
tl_rc tl_bundle_open(struct tl_bundle **out, const struct tl_bundle_config *config,
                     struct tl_error *err) TL_MUST_USE;
/* Before the first run; e->ud outlives them. */
void tl_bundle_set_extern(struct tl_bundle *b, struct tl_bundle_extern e);
void tl_bundle_close(struct tl_bundle *b); /* NULL is fine; no run may be left */

/* Calls fn for each module that a pattern ("activities.*") finds in the roots, sorted, each once.
 * Errors: TL_EINVAL (not a pattern), TL_ENOTFOUND with the near folder. */
tl_rc tl_bundle_find_modules(const char *const *roots, const char *what,
                             void (*fn)(void *ud, const char *name), void *ud,
                             struct tl_error *err);
/* The error of a module that is in none of the roots: TL_ENOTFOUND with the near name. */
tl_rc tl_bundle_missing_module(const char *const *roots, const char *name, struct tl_error *err);

/* --- what is in it ---------------------------------------------------------------------------- */

struct tl_bundle_workflow {
    struct tl_str type;                /* empty: the dynamic one */
    struct tl_str module;              /* name of the defining module */
    struct tl_str file;                /* "workflows/order.lua" */
    struct tl_str versioning_behavior; /* "pinned", "auto_upgrade" or empty */
    bool dynamic;                      /* takes every type that no other takes */
    bool unsandboxed;                  /* it has the host's io and os */
};

/* Says once in the log that a workflow of the bundle is outside of the sandbox. */
void tl_bundle_warn_unsandboxed(struct tl_bundle *b, const struct tl_bundle_workflow *w);
/* Workflow types sorted by name; NULL past the last. Owns: the bundle's. */
const struct tl_bundle_workflow *tl_bundle_workflow_at(const struct tl_bundle *b, size_t index);
/* The definition of a type: its own, else the dynamic one, else NULL. */
const struct tl_bundle_workflow *tl_bundle_workflow_find(const struct tl_bundle *b,
                                                         struct tl_str type);

/* Names of the modules with payload converters, NULL-terminated. Owns: the bundle's. */
const char *const *tl_bundle_converters(const struct tl_bundle *b);
/* Its interceptors, outermost first. Owns: the bundle's. */
const struct tl_bundle_interceptor *tl_bundle_interceptors(const struct tl_bundle *b, size_t *n);

/* Calls fn for every module, sorted by name: the input of a build's digest. A module whose values are shared
 * comes a second time, without a file. */
void tl_bundle_each_source(const struct tl_bundle *b,
                           void (*fn)(void *ud, struct tl_str module, struct tl_str file,
                                      struct tl_str text),
                           void *ud);
/* Number of the language's observable behaviour (VM and library); part of a build's digest. */
int tl_bundle_semantics_version(void);
