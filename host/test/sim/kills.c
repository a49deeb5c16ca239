/* The process that kills and checks. See kills.h. */
#include "sim/kills.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "cli/embedded_server.h"
#include "proto/pb.h"
#include "sim/sim.h"

struct known {
    struct sim_workflow w;
    bool completed; /* acknowledged as such */
};

struct killer {
    struct sim parts;    /* bundle for replays, failure text, rng */
    struct tl_map known; /* id -> struct known */
    char folder[64], db[96], ledger[96];
    long checked_events;
};

static void sleep_ms(long ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&ts, NULL);
}

static struct known *known_of(struct killer *k, const char *id)
{
    struct known *n = tl_map_get(&k->known, tl_str(id));
    if (!n) {
        n = TL_NEW(struct known);
        n->w.sim = &k->parts;
        n->w.signals_sent = 1; /* may have been sent without an answer */
        snprintf(n->w.id, sizeof n->w.id, "%s", id);
        tl_map_put(&k->known, tl_str(id), n);
    }
    return n;
}

/* Facts of the ledger; a last line without its end was never acknowledged. */
static bool read_ledger(struct killer *k)
{
    char line[256], kind[8], id[32], text[64];
    bool ready = false;
    FILE *f = fopen(k->ledger, "r");
    while (f && fgets(line, sizeof line, f)) {
        if (!strchr(line, '\n') || sscanf(line, "%7s %31s %63s", kind, id, text) != 3) {
            continue;
        }
        if (kind[0] == 'R') {
            ready = true;
            continue;
        }
        struct known *n = known_of(k, id);
        if (kind[0] == 'S') {
            snprintf(n->w.run_id, sizeof n->w.run_id, "%s", text);
        } else if (kind[0] == 'G') {
            n->w.signals_acked = 1;
        } else {
            n->completed = true;
            if (strcmp(text, "completed") != 0) {
                sim_fail(&k->parts, "%s did not complete", id);
            }
        }
    }
    if (f) {
        fclose(f);
    }
    return ready;
}

static void check_one(struct killer *k, struct known *n, struct tl_client *client)
{
    struct tl_arena arena;
    struct tl_client_error err;
    struct tl_client_result result;
    TpHistory__History *history;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    if (tl_client_history(client, tl_str(n->w.id), tl_str(n->w.run_id), &arena, &history, &err) !=
        TL_OK) {
        sim_fail(&k->parts, "%s was acknowledged and is lost: %s", n->w.id, err.error.message);
    } else {
        const TpHistory__HistoryEvent *last = history->events[history->n_events - 1];
        bool closed = tl_client_result_from_event(last, &arena, &result);
        /* An acknowledged signal of a run that is open may still wait for the end of the workflow task
         * during which it came: it is durable, but not an event yet. */
        int acked = n->w.signals_acked;
        n->w.signals_acked = closed ? acked : 0;
        sim_check_history(&n->w, history);
        sim_check_complete(&n->w, history);
        n->w.signals_acked = acked;
        if (n->completed && !closed) {
            sim_fail(&k->parts, "%s was told to be completed and runs again", n->w.id);
        }
        n->w.closed = closed;
        k->checked_events += (long)history->n_events;
    }
    tl_arena_deinit(&arena);
}

static void check_all(struct killer *k, bool all_again)
{
    struct tl_cli_server s;
    struct tl_error err;
    if (tl_cli_server_open(&s, k->db, "default", true, &err) != TL_OK) {
        sim_fail(&k->parts, "the database does not open after a kill: %s", err.message);
        return;
    }
    TL_MAP_EACH (e, &k->known) {
        struct known *n = e->value;
        if ((all_again || !n->w.closed) && n->w.run_id[0] && !k->parts.failure[0]) {
            check_one(k, n, s.client);
        }
    }
    tl_cli_server_close(&s);
}

/* After the last kill: every workflow whose signal was acknowledged must come to its end. */
static void finish(struct killer *k)
{
    struct tl_cli_server s;
    struct tl_error err = {0};
    if (tl_cli_server_open(&s, k->db, "default", true, &err) != TL_OK ||
        !sim_kills_worker(&k->parts, s.client, &err)) {
        sim_fail(&k->parts, "the last server or worker does not open: %s", err.message);
        return;
    }
    TL_MAP_EACH (e, &k->known) {
        struct known *n = e->value;
        struct tl_client_error why = {0};
        struct tl_client_result result;
        struct tl_arena arena;
        if (!n->w.run_id[0] || !n->w.signals_acked || k->parts.failure[0]) {
            continue;
        }
        struct tl_client_result_query query = {.workflow_id = tl_str(n->w.id),
                                               .run_id = tl_str(n->w.run_id),
                                               .timeout_ns = 60 * TL_NS_PER_S};
        tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
        if (tl_client_result(s.client, &query, &arena, &result, &why) != TL_OK) {
            sim_fail(&k->parts, "%s does not end: %s", n->w.id, why.error.message);
        } else {
            n->completed = true;
        }
        tl_arena_deinit(&arena);
    }
    tl_worker_free(k->parts.workers[0]);
    tl_registry_free(k->parts.registry);
    tl_cli_server_close(&s);
}

static bool child_is_ready(struct killer *k)
{
    for (int i = 0; i < 500; i++) {
        if (read_ledger(k)) {
            return true;
        }
        sleep_ms(4);
    }
    return false;
}

static void kill_once(struct killer *k, const char *self, int round)
{
    char prefix[32];
    int status;
    snprintf(prefix, sizeof prefix, "k%d", round);
    unlink(k->ledger);
    pid_t pid = fork();
    if (pid == 0) {
        execl(self, self, "child", k->db, k->ledger, prefix, (char *)NULL);
        _exit(4);
    }
    if (!child_is_ready(k)) {
        sim_fail(&k->parts, "the child did not get ready");
    }
    sleep_ms(5 + (long)tl_rng_below(&k->parts.rng, 200));
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status)) {
        sim_fail(&k->parts, "the child ended by itself with %d", WEXITSTATUS(status));
    }
    read_ledger(k);
    check_all(k, round % 10 == 9);
}

static void remove_folder(struct killer *k)
{
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'", k->folder);
    if (system(command) != 0) {
        fprintf(stderr, "cannot remove %s\n", k->folder);
    }
}

bool sim_kills(const char *self, int count, uint64_t seed, bool verbose)
{
    struct killer *k = TL_NEW(struct killer);
    tl_map_init(&k->known);
    tl_rng_seed(&k->parts.rng, seed);
    snprintf(k->folder, sizeof k->folder, "temporal-lua-kills-XXXXXX");
    if (!mkdtemp(k->folder) || !sim_scripts_only(&k->parts)) {
        sim_fail(&k->parts, "cannot prepare: %s", k->parts.failure);
    }
    snprintf(k->db, sizeof k->db, "%s/test.db", k->folder);
    snprintf(k->ledger, sizeof k->ledger, "%s/ledger", k->folder);
    int round = 0;
    for (; round < count && !k->parts.failure[0]; round++) {
        kill_once(k, self, round);
    }
    if (!k->parts.failure[0]) {
        finish(k);
        check_all(k, true);
    }
    bool ok = !k->parts.failure[0];
    if (verbose || !ok) {
        fprintf(stderr, "%d kills, %zu acknowledged workflows, %ld events checked%s%s\n", round,
                k->known.count, k->checked_events, ok ? "" : ": ", k->parts.failure);
    }
    if (ok) {
        remove_folder(k);
    }
    TL_MAP_EACH (e, &k->known) {
        tl_mem_free(e->value);
    }
    tl_map_deinit(&k->known);
    tl_worker_lua_lang_free(k->parts.lang);
    tl_bundle_close(k->parts.bundle);
    tl_mem_free(k);
    return ok;
}
