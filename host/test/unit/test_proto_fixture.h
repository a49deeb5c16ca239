/* What the tests of messages and JSON share: an arena, a buffer and an error of the test that runs. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

static struct tl_arena arena;
static struct tl_buf out;
static struct tl_error err;

static int set_up(void **state)
{
    (void)state;
    tl_arena_init(&arena, 64 * 1024 * 1024);
    tl_buf_init(&out, 16 * 1024 * 1024);
    err = (struct tl_error){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tl_arena_deinit(&arena);
    tl_buf_deinit(&out);
    return 0;
}
