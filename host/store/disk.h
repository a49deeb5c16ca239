/* A simulated disk: files in memory that know which of their bytes have been synced. A power cut
 * keeps what was synced and, of the rest, what the dice say: sectors of 512 bytes, in any order,
 * each in one of the states it went through; and of new, deleted or resized files likewise.
 * It knows nothing of SQLite (vfs_fault.h does).
 * Ownership: the disk owns its files; handles keep an unlinked file alive.
 * Thread: one at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/str.h"

struct tl_disk;
struct tl_disk_file;

/* What a power cut did, for tests that want to know that they tested something. */
struct tl_disk_stats {
    int64_t writes, syncs, power_cuts;
    int64_t sectors_at_risk, sectors_lost;
};

struct tl_disk *tl_disk_new(void);
void tl_disk_free(struct tl_disk *d); /* every handle must be closed */

/* The file of that name, made when `create`; NULL when there is none. An empty name makes a file
 * without name. Owns: a handle, until tl_disk_close. *created tells. */
struct tl_disk_file *tl_disk_open(struct tl_disk *d, struct tl_str name, bool create,
                                  bool *created);
void tl_disk_close(struct tl_disk *d, struct tl_disk_file *f);
bool tl_disk_exists(const struct tl_disk *d, struct tl_str name);
/* Durable only after tl_disk_sync_names. False: there was none. */
bool tl_disk_delete(struct tl_disk *d, struct tl_str name);
void tl_disk_sync_names(struct tl_disk *d);

/* Bytes beyond the end read as zeros; returns how many were really there. */
size_t tl_disk_read(const struct tl_disk_file *f, int64_t offset, void *p, size_t n);
/* False: the disk is full, and nothing was written. */
bool tl_disk_write(struct tl_disk *d, struct tl_disk_file *f, int64_t offset, const void *p,
                   size_t n);
void tl_disk_truncate(struct tl_disk *d, struct tl_disk_file *f, int64_t size);
void tl_disk_sync(struct tl_disk *d, struct tl_disk_file *f);
int64_t tl_disk_size(const struct tl_disk_file *f);
/* Bytes that all files together may hold; -1: no limit. */
void tl_disk_set_capacity(struct tl_disk *d, int64_t bytes);

/* The power fails: what remains is the disk's state, and all of it is durable. Open handles go on
 * referring to files that nobody can find any more. */
void tl_disk_power_cut(struct tl_disk *d, struct tl_rng *rng);
struct tl_disk_stats tl_disk_stats(const struct tl_disk *d);
