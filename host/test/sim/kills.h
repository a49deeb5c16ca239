/* Real processes, real files, real SIGKILL: a child runs server, worker and 24 clients and writes
 * down what was acknowledged to it; the parent kills it at a random moment, opens the database and
 * checks that all of it is there. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct sim;
struct tl_client;

/* Kills `count` times; true when nothing was lost. self: this program's file, run again as the child. */
bool sim_kills(const char *self, int count, uint64_t seed, bool verbose);
/* The child: runs until it is killed. */
int sim_kills_child(const char *db, const char *ledger, const char *prefix);
/* A running worker for the workflows of the test: parts->workers[0], parts->registry. */
bool sim_kills_worker(struct sim *parts, struct tl_client *client, struct tl_error *err);
