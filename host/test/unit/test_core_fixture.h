/* What the tests of state machines share: histories replayed through a scripted language, and the check
 * that every edge was taken. Include once, after the standard headers that cmocka wants.
 * Thread: tests. Owns: the fixture's arena, for one test. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <tl_enums.h>

#include "core/fsm.h"
#include "core/replay.h"
#include "test/support/history_builder.h"
#include "test/support/script_lang.h"

/* Edges that no history reaches, with the reason. */
static const struct {
    const char *machine, *state, *event, *reason;
} edges_allowed[] = {
    {"update", "NEW", "REJECT", "leaves no event: test_core_update.c"},
    {"workflow task", "STARTED", "DROP", "leaves no event: test_core_update.c"},
    {NULL, NULL, NULL, NULL},
};

struct fixture {
    struct tl_arena arena;
    struct tl_hb hb;
    struct tl_script script;
    struct tl_replay_result result;
    struct tl_error err;
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    tl_arena_init(&f.arena, (size_t)64 << 20);
    tl_hb_init(&f.hb, &f.arena);
    tl_hb_start(&f.hb, "order");
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    tl_arena_deinit(&((struct fixture *)*state)->arena);
    return 0;
}

static tl_rc replay(struct fixture *f, const struct tl_step *steps)
{
    tl_script_init(&f->script, steps);
    struct tl_lang lang = tl_script_lang(&f->script);
    f->err = (struct tl_error){0};
    return tl_replay(tl_hb_history(&f->hb), NULL, &lang, &f->arena, &f->result, &f->err);
}

static void agrees(struct fixture *f, const struct tl_step *steps, const char *log)
{
    tl_rc rc = replay(f, steps);
    assert_string_equal(f->err.message, "");
    assert_int_equal(rc, TL_OK);
    assert_string_equal(f->script.log, log);
}

/* Runs last, where a file is about machines: all that ran before must have taken all edges of them. */
static inline void assert_edges_taken(bool (*is_mine)(const char *machine))
{
    unsigned missing = 0;
    const struct tl_fsm *fsm;
    for (unsigned m = 0; (fsm = tl_fsm_at(m)) != NULL; m++) {
        if (!is_mine(fsm->name)) {
            continue;
        }
        for (unsigned i = 0; i < (unsigned)fsm->state_count * fsm->event_count; i++) {
            if (!fsm->edges[i].next || fsm->taken[i]) {
                continue;
            }
            const char *from = fsm->states[i / fsm->event_count];
            const char *event = fsm->events[i % fsm->event_count];
            bool allowed = false;
            for (size_t a = 0; edges_allowed[a].machine; a++) {
                allowed |= strcmp(edges_allowed[a].machine, fsm->name) == 0 &&
                           strcmp(edges_allowed[a].state, from) == 0 &&
                           strcmp(edges_allowed[a].event, event) == 0;
            }
            if (!allowed) {
                print_message("not taken: %s: %s --%s--> %s\n", fsm->name, from, event,
                              fsm->states[fsm->edges[i].next - 1]);
                missing++;
            }
        }
    }
    assert_int_equal(missing, 0);
}
