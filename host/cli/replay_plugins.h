/* replay --plugin: a temporal.replayer with plugins, to which the command gives one history after the other.
 * Thread: main. Owner: who opened it. */
#pragma once

#include "base/arena.h"
#include "cli/cli.h"

struct tl_replay_plugins;

/* What became of one history; texts are the arena's. */
struct tl_replay_told {
    bool held_back; /* a plugin gave no result of it */
    size_t event_count, task_count;
    struct tl_str workflow_id, run_id;
    struct tl_str code; /* name of a tl_rc; empty: it fits */
    struct tl_str message, text, report_json;
};

/* With the options of the command line; *out stays NULL without --plugin. Returns 0, or an exit code (said). */
int tl_replay_plugins_open(struct tl_cli *cli, struct tl_replay_plugins **out);
/* Replays an encoded history. False: a plugin raised, which was said. */
bool tl_replay_plugins_replay(struct tl_replay_plugins *p, struct tl_str history,
                              struct tl_str workflow_id, struct tl_str run_id,
                              struct tl_arena *arena, struct tl_replay_told *out);
/* Frees all, after the plugins have ended their part where none has raised; returns 0, or an exit code (said).
 * NULL is fine. */
int tl_replay_plugins_close(struct tl_replay_plugins *p, bool well);
