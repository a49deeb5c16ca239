/* What the tests of a run's workflow tasks share: a run whose polls are made from canned histories and whose
 * language is scripted. Include once, after the file's comment.
 * Thread: tests. Owns: the fixture's arenas and run, for one test. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <tl_enums.h>

#include "core/replay.h"
#include "core/run.h"
#include "test/support/history_builder.h"
#include "test/support/script_lang.h"

struct fixture {
    struct tl_arena arena; /* histories */
    struct tl_arena task;  /* one task */
    struct tl_hb hb;
    struct tl_script script;
    struct tl_lang lang;
    struct tl_run *run;
    struct tl_wft_result out;
    struct tl_error err;
};

static void new_run(struct fixture *f, const struct tl_step *steps)
{
    tl_run_free(f->run);
    f->run = tl_run_new(&(struct tl_run_config){.run_id = TL_STR_LIT("run-1"),
                                                .workflow_id = TL_STR_LIT("wf-1"),
                                                .workflow_type = TL_STR_LIT("order"),
                                                .sdk_name = TL_STR_LIT("temporal-lua"),
                                                .sdk_version = TL_STR_LIT("0.1"),
                                                .sdk_metadata = true});
    tl_script_init(&f->script, steps);
    f->lang = tl_script_lang(&f->script);
}

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    tl_arena_init(&f.arena, (size_t)64 << 20);
    tl_arena_init(&f.task, (size_t)64 << 20);
    tl_hb_init(&f.hb, &f.arena);
    tl_hb_start(&f.hb, "order");
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tl_run_free(f->run);
    tl_arena_deinit(&f->arena);
    tl_arena_deinit(&f->task);
    return 0;
}

/* What the last task said and logged belongs to it. */
static void forget_task(struct fixture *f)
{
    f->script.log[0] = '\0';
    f->script.activations = 0;
    f->err = (struct tl_error){0};
}

static tl_rc handle(struct fixture *f, const TpWs__PollWorkflowTaskQueueResponse *poll)
{
    tl_arena_reset(&f->task);
    forget_task(f);
    return tl_run_handle_task(f->run, &(struct tl_wft){poll}, &f->lang, &f->task, &f->out, &f->err);
}
