/* See determinism.h.
 * Masked, because workers differ in them and no command depends on them: identity, SDK name and version,
 * flags, build, sticky queue, metering. The digest is over commands and messages, byte for byte. */
#include "sim/determinism.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"
#include "crypto/digest.h"
#include "luart/replay.h"
#include "luart/run_int.h"
#include "proto/history_json.h"
#include "proto/pb.h"

#define ARENA_BYTES ((size_t)1 << 30)
#define FILE_BYTES_MAX ((size_t)64 << 20)
#define MODULES_MAX 16

struct options {
    const char *roots[MODULES_MAX + 1], *modules[MODULES_MAX + 1];
    struct tl_bundle_interceptor interceptors[MODULES_MAX];
    size_t interceptor_count;
    uint64_t runs, seed, arguments;
    bool disturb; /* collections, moves and queries at random points */
};

/* What a run's memory comes from. */
struct disturbed {
    struct tl_vm_heap *heap;
    struct tl_rng rng;
    bool refused; /* just now: Lua has collected and asks again */
    uint64_t refusals;
};

struct proof {
    const struct options *options;
    struct tl_bundle *bundle;
    struct disturbed memory;
    struct tl_rng rng; /* where it disturbs; never seen by a workflow */
    struct tl_digest *digest;
    struct tl_buf
        tasks; /* for each task the first 8 bytes of its digest, to name the first that differs */
};

/* --- disturbing a run's memory ---------------------------------------------------------------- */

/* The heap refuses a growth now and then, which makes Lua collect right there, inside of whatever it does;
 * and unused blocks move what comes after them. */
static void *disturbing_alloc(void *ud, void *p, size_t old_size, size_t new_size)
{
    struct disturbed *memory = ud;
    if (new_size > (p ? old_size : 0)) {
        uint64_t dice = tl_rng_below(&memory->rng, 64);
        if (dice == 0 && !memory->refused) {
            memory->refused = true;
            memory->refusals++;
            return NULL;
        }
        memory->refused = false;
        if (dice == 1) { /* freed with the heap */
            size_t n = 16 + tl_rng_below(&memory->rng, 256);
            (void)tl_vm_heap_alloc(memory->heap, NULL, 0, n);
        }
    }
    return tl_vm_heap_alloc(memory->heap, p, old_size, new_size);
}

static void opened(void *ud, struct tl_lua_run *lua)
{
    struct proof *proof = ud;
    if (proof->options->disturb) {
        proof->memory.heap = &lua->heap;
        proof->memory.refused = false;
        tl_rng_seed(&proof->memory.rng, tl_rng_next(&proof->rng));
        lua_setallocf(lua->main, disturbing_alloc, &proof->memory);
    }
}

static const char *query(void *ud, size_t task)
{
    static const char *const names[] = {
        "__stack_trace", "__enhanced_stack_trace", "__temporal_workflow_metadata",
        "state",         "no_such_query",
    };
    struct proof *proof = ud;
    (void)task;
    if (!proof->options->disturb || tl_rng_below(&proof->rng, 3) > 0) {
        return NULL;
    }
    return names[tl_rng_below(&proof->rng, sizeof names / sizeof names[0])];
}

/* --- one rerun -------------------------------------------------------------------------------- */

static tl_rc answered(void *ud, int64_t started_event_id, struct tl_str answer,
                      struct tl_error *err)
{
    struct proof *proof = ud;
    uint8_t digest[TL_SHA256_BYTES];
    (void)started_event_id;
    (void)err;
    tl_digest_put_field(proof->digest, answer);
    tl_sha256(answer, digest);
    (void)tl_buf_put(&proof->tasks, digest, 8);
    return TL_OK;
}

/* The digest of all answers as text; false with a line on stderr when it cannot be run. */
static bool rerun(struct proof *proof, const TpHistory__History *history, size_t cache_size,
                  const char *name, char hex[TL_SHA256_HEX])
{
    struct tl_arena arena;
    struct tl_rerun_result result;
    struct tl_error err = {0};
    struct tl_lua_rerun_config config = {
        .cache_size = cache_size,
        .seed = tl_rng_next(&proof->rng),
        .ud = proof,
        .answered = answered,
        .query = query,
        .opened = opened,
    };
    tl_arena_init(&arena, ARENA_BYTES);
    tl_buf_clear(&proof->tasks);
    proof->digest = tl_digest_new();
    tl_rc rc = tl_lua_rerun(proof->bundle, history, &config, &arena, &result, &err);
    tl_digest_finish_hex(proof->digest, hex);
    tl_arena_deinit(&arena);
    if (rc != TL_OK) {
        fprintf(stderr, "%s: cache %zu: task %zu: %s\n", name, cache_size, result.task_count,
                err.message);
    }
    return rc == TL_OK;
}

/* --- a history, many times -------------------------------------------------------------------- */

static size_t first_difference(struct tl_str a, struct tl_str b)
{
    size_t i = 0;
    while (i + 8 <= a.n && i + 8 <= b.n && memcmp(a.p + i, b.p + i, 8) == 0) {
        i += 8;
    }
    return i / 8 + 1;
}

static bool prove_history(struct proof *proof, const char *name, const TpHistory__History *history)
{
    static const size_t cache_sizes[] = {SIZE_MAX, 0, 1};
    char first[TL_SHA256_HEX], hex[TL_SHA256_HEX];
    struct tl_buf tasks;
    bool ok = true;
    tl_buf_init(&tasks, FILE_BYTES_MAX);
    for (uint64_t i = 0; ok && i < proof->options->runs; i++) {
        size_t cache_size = cache_sizes[i % 3];
        ok = rerun(proof, history, cache_size, name, i == 0 ? first : hex);
        if (i == 0) {
            (void)tl_buf_put(&tasks, proof->tasks.p, proof->tasks.n);
        } else if (ok && strcmp(first, hex) != 0) {
            fprintf(stderr, "%s: run %llu (cache %zu): other commands in task %zu\n", name,
                    (unsigned long long)i, cache_size,
                    first_difference(tl_buf_str(&tasks), tl_buf_str(&proof->tasks)));
            ok = false;
        }
    }
    if (ok) {
        printf("%s %zu tasks %s\n", name, tasks.n / 8, first);
    }
    tl_buf_deinit(&tasks);
    return ok;
}

/* The same history with the arguments 1, 2, 3 ...: of a workflow that makes a program of its argument and ends
 * in its first task. */
static bool prove_arguments(struct proof *proof, const char *name, TpHistory__History *history)
{
    TpHistory__WorkflowExecutionStartedEventAttributes *start =
        history->events[0]->workflow_execution_started_event_attributes;
    struct tl_digest *all = tl_digest_new();
    bool ok = start->input && start->input->n_payloads == 1;
    for (uint64_t i = 1; ok && i <= proof->options->arguments; i++) {
        char text[32], hex[TL_SHA256_HEX];
        snprintf(text, sizeof text, "%llu", (unsigned long long)i);
        start->input->payloads[0]->data = tl_pb_bytes_view(tl_str(text));
        ok = rerun(proof, history, SIZE_MAX, name, hex);
        tl_digest_put_field(all, tl_str(hex));
        if (ok && i % 100 == 0) { /* so that the line that differs names the hundred */
            char so_far[TL_SHA256_HEX];
            tl_digest_finish_hex(all, so_far);
            all = tl_digest_new();
            tl_digest_put_field(all, tl_str(so_far));
            printf("%s %llu programs %s\n", name, (unsigned long long)i, so_far);
        }
    }
    tl_digest_finish_hex(all, (char[TL_SHA256_HEX]){0});
    return ok;
}

static bool prove_file(struct proof *proof, const char *path)
{
    struct tl_arena arena;
    struct tl_error err;
    TpHistory__History *history;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *text = tl_mem_alloc(FILE_BYTES_MAX);
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(text, 1, FILE_BYTES_MAX, file) : 0;
    bool ok = false;
    if (file) {
        fclose(file);
    }
    tl_arena_init(&arena, ARENA_BYTES);
    if (tl_history_read(tl_str_n(text, n), &arena, &history, &err) != TL_OK) {
        fprintf(stderr, "%s: %s\n", path, err.message);
    } else if (proof->options->arguments) {
        ok = prove_arguments(proof, name, history);
    } else {
        ok = prove_history(proof, name, history);
    }
    tl_arena_deinit(&arena);
    tl_mem_free(text);
    return ok;
}

static int usage(void)
{
    fputs(
        "usage: torture determinism --root FOLDER ... --module NAME ... [--runs N] [--seed N] "
        "[--hash N]\n"
        "       [--arguments N] [--calm 1] [--interceptor MODULE ... [--config JSON]] HISTORY.json "
        "...\n",
        stderr);
    return 2;
}

int sim_determinism(int argc, char **argv)
{
    struct options o = {.runs = 3, .disturb = true};
    struct proof proof = {.options = &o};
    struct tl_error err;
    size_t roots = 0, modules = 0;
    int i = 0, failed = 0;
    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        const char *name = argv[i] + 2, *value = argv[i + 1];
        uint64_t number = strtoull(value, NULL, 10);
        if (strcmp(name, "root") == 0 && roots < MODULES_MAX) {
            o.roots[roots++] = value;
        } else if (strcmp(name, "module") == 0 && modules < MODULES_MAX) {
            o.modules[modules++] = value;
        } else if (strcmp(name, "interceptor") == 0 && o.interceptor_count < MODULES_MAX) {
            o.interceptors[o.interceptor_count++].module = tl_str(value);
        } else if (strcmp(name, "config") == 0 && o.interceptor_count) {
            o.interceptors[o.interceptor_count - 1].config = tl_str(value);
        } else if (strcmp(name, "runs") == 0) {
            o.runs = number;
        } else if (strcmp(name, "seed") == 0) {
            o.seed = number;
        } else if (strcmp(name, "hash") == 0) {
            tl_vm_hash_seed = (unsigned)number;
        } else if (strcmp(name, "arguments") == 0) {
            o.arguments = number;
        } else if (strcmp(name, "calm") == 0) {
            o.disturb = number == 0;
        } else {
            return usage();
        }
    }
    if (i >= argc) {
        return usage();
    }
    struct tl_bundle_config config = {.roots = o.roots,
                                      .workflow_modules = o.modules,
                                      .interceptors = o.interceptors,
                                      .interceptor_count = o.interceptor_count};
    if (tl_bundle_open(&proof.bundle, &config, &err) != TL_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    tl_rng_seed(&proof.rng, o.seed);
    tl_buf_init(&proof.tasks, FILE_BYTES_MAX);
    for (; i < argc; i++) {
        failed += !prove_file(&proof, argv[i]);
    }
    if (o.disturb && proof.memory.refusals == 0) {
        fputs("nothing was disturbed: this proves nothing\n", stderr);
        failed++;
    }
    tl_buf_deinit(&proof.tasks);
    tl_bundle_close(proof.bundle);
    return failed ? 1 : 0;
}
