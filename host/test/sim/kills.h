/* Real processes, real files, real SIGKILL: a child runs server, worker and eight clients and writes
 * down what was acknowledged to it; the parent kills it at a random moment, opens the database and
 * checks that all of it is there. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Kills `count` times; true when nothing was lost. self: this program's file, run again as the child. */
bool sim_kills(const char *self, int count, uint64_t seed, bool verbose);
/* The child: runs until it is killed. */
int sim_kills_child(const char *db, const char *ledger, const char *prefix);
