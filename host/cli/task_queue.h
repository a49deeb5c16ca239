/* What the two modes of `task-queue describe` share. Thread: main. */
#pragma once

#include "cli/connect.h"

/* The number of a type whose name the parser has checked. */
int tl_cli_queue_type(const char *name);
/* task-queue describe --legacy-mode: one type, partition by partition. Returns the exit code. */
int tl_cli_describe_plain(struct tl_cli_session *s);
