/* The parts of a simulated system and their lives: world, scripts, server, workers. See sim.h. */
#include "sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A worker that stops gives up what fails after five seconds. */
#define STOP_NS_MAX (60 * TL_NS_PER_S)

#define BEGAN_NS (INT64_C(1700000000) * TL_NS_PER_S)

void sim_fail(struct sim *s, const char *fmt, ...)
{
    if (!s->failure[0]) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(s->failure, sizeof s->failure, fmt, ap);
        va_end(ap);
    }
}

void sim_tell(struct sim *s, const char *fmt, ...)
{
    if (s->options.story) {
        char line[256];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(line, sizeof line, fmt, ap);
        va_end(ap);
        fprintf(stderr, "%6d %12.6f %s\n", s->rounds, (double)(s->now_ns - BEGAN_NS) / 1e9, line);
    }
}

void sim_trace(struct sim *s, const void *p, size_t n)
{
    const unsigned char *bytes = p;
    for (size_t i = 0; i < n; i++) {
        s->trace = (s->trace ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
}

/* --- world ------------------------------------------------------------------------------------ */

static int64_t now(void *ud)
{
    return ((struct sim *)ud)->now_ns;
}

static uint64_t random_bits(void *ud)
{
    return tl_rng_next(&((struct sim *)ud)->rng);
}

void sim_world_open(struct sim *s)
{
    static unsigned vfs_number;
    tl_rng_seed(&s->rng, s->options.seed);
    s->trace = UINT64_C(0xcbf29ce484222325);
    s->now_ns = BEGAN_NS;
    s->worker_commands = s->options.seed / 2 % 2 == 1;
    sim_commands_open(s);
    s->world = (struct tl_world){s, now, now, random_bits};
    snprintf(s->vfs_name, sizeof s->vfs_name, "sim%u", vfs_number++);
    s->vfs = tl_vfs_new(s->vfs_name, tl_rng_next(&s->rng));
    struct tl_client_config config = {
        .channel = sim_link_open(s), .identity = TL_STR_LIT("sim"), .world = &s->world};
    s->client = tl_client_new(&config);
}

/* --- server ----------------------------------------------------------------------------------- */

bool sim_server_open(struct sim *s)
{
    struct tl_server_options o;
    struct tl_error err;
    tl_server_options_default(&o);
    o.world = &s->world;
    o.db_path = "/sim.db";
    o.vfs_name = s->vfs_name;
    o.worker_commands = o.worker_command_cancels = s->worker_commands;
    o.checkpoint_rows = 1 + (size_t)tl_rng_below(&s->rng, 64);
    o.closed_runs_kept = (size_t)tl_rng_below(&s->rng, 8);
    o.history_cache_bytes = tl_rng_below(&s->rng, 2) ? 1 << 20 : 4096;
    if (tl_server_open(&s->server, &o, &err) != TL_OK) {
        sim_fail(s, "the server does not open: %s", err.message);
        s->server = NULL;
        return false;
    }
    s->server_next_ns = s->now_ns;
    sim_tell(s, "server up");
    return true;
}

void sim_server_crash(struct sim *s, bool power_cut)
{
    if (power_cut) {
        tl_vfs_power_cut(s->vfs, &s->rng);
        s->power_cuts++;
    } else {
        tl_vfs_kill(s->vfs);
        s->kills++;
    }
    struct tl_server *dead = s->server;
    s->server = NULL;
    tl_server_abandon(dead);
    sim_tell(s, power_cut ? "power cut" : "kill");
    sim_trace(s, "crash", 5);
}

/* --- worker ----------------------------------------------------------------------------------- */

bool sim_worker_open(struct sim *s, int which)
{
    static const char *const identities[SIM_WORKERS] = {"sim-worker-0", "sim-worker-1",
                                                        "sim-build-a", "sim-build-b"};
    struct tl_error err;
    struct tl_worker_config config = {.client = s->client, .world = &s->world};
    tl_worker_options_init(&config.options);
    config.options.task_queue = TL_STR_LIT("sim");
    config.options.worker_heartbeat_interval_ms = 0; /* they would only fill the walks */
    config.options.identity = tl_str(identities[which]);
    if (which >= SIM_WORKERS - 2) {
        config.options.task_queue = TL_STR_LIT("builds");
        config.options.deployment_name = TL_STR_LIT("sim");
        config.options.build_id = tl_str(sim_builds[which - SIM_WORKERS + 2 + SIM_BUILD_A]);
        config.options.use_worker_versioning = true;
    }
    config.options.max_cached_workflows = (int64_t[]){0, 1, 3, 1000}[tl_rng_below(&s->rng, 4)];
    config.options.debug_mode = true; /* real CPU time has no place here */
    config.lang = s->lang;
    config.registry = s->registry;
    if (tl_worker_new(&s->workers[which], &config, &err) != TL_OK) {
        sim_fail(s, "the worker does not open: %s", err.message);
        return false;
    }
    s->workers_next_ns[which] = s->now_ns;
    return true;
}

void sim_worker_close(struct sim *s, int which, bool crash)
{
    int64_t until_ns = s->now_ns + STOP_NS_MAX;
    struct tl_worker *w = s->workers[which];
    s->link_cut = crash;
    tl_worker_shutdown(w, 0);
    while (tl_worker_state(w) != TL_WORKER_STOPPED && s->now_ns < until_ns) {
        bool did = tl_worker_step(w, &s->workers_next_ns[which]);
        if (s->server) {
            s->server_next_ns = tl_server_step(s->server);
            did = tl_server_commit_step(s->server) || did;
        }
        s->now_ns += did ? 1 : 10 * TL_NS_PER_MS;
    }
    s->link_cut = false;
    sim_tell(s, "worker %d %s", which, crash ? "crashed" : "stopped");
    sim_trace(s, "worker", 6);
    s->workers[which] = NULL;
    if (tl_worker_state(w) == TL_WORKER_STOPPED) {
        tl_worker_free(w);
    } else {
        sim_fail(s, "the worker does not stop"); /* it cannot be freed either */
    }
}

/* --- all -------------------------------------------------------------------------------------- */

bool sim_scripts_open(struct sim *s)
{
    s->registry = tl_registry_new();
    return sim_scripts_only(s) && sim_activities_add(s) && sim_operations_add(s);
}

void sim_close(struct sim *s)
{
    for (int i = 0; i < SIM_WORKERS; i++) {
        if (s->workers[i]) {
            sim_worker_close(s, i, false);
        }
    }
    if (s->server) {
        tl_server_close(s->server);
        s->server = NULL;
    }
    sim_client_close(s);
    tl_worker_lua_lang_free(s->lang);
    tl_registry_free(s->registry);
    tl_bundle_close(s->bundle);
    tl_client_free(s->client);
    sim_link_close(s);
    sim_commands_close(s);
    tl_vfs_free(s->vfs);
}
