/* A SQLite VFS over a simulated disk (disk.h), for tests and simulation: everything is in memory,
 * exact and fast; power cuts, I/O errors at the N-th operation, a full disk, killed processes.
 * Several connections of one process may use it, with write-ahead log and shared index.
 * Ownership: the VFS owns the disk. Thread: any (one mutex), except new and free. */
#pragma once

#include <stdint.h>

#include "base/rng.h"
#include "store/disk.h"

struct tl_vfs;

enum tl_vfs_op {
    TL_VFS_READ = 1,
    TL_VFS_WRITE = 2,
    TL_VFS_SYNC = 4,
    TL_VFS_TRUNCATE = 8,
    TL_VFS_OPEN = 16,
    TL_VFS_DELETE = 32,
    TL_VFS_CHANGES = 2 | 4 | 8 | 32,
    TL_VFS_ALL = 63,
};

/* Registers a VFS under `name`. `seed` decides how much of a failing write arrives. */
struct tl_vfs *tl_vfs_new(const char *name, uint64_t seed);
/* Unregisters it; every connection must be closed. */
void tl_vfs_free(struct tl_vfs *v);

/* The power fails: see tl_disk_power_cut. Open connections are dead from then on: each operation
 * answers with an I/O error, and they are good for closing only. */
void tl_vfs_power_cut(struct tl_vfs *v, struct tl_rng *rng);
/* The process dies, the machine does not: connections die, every written byte stays. */
void tl_vfs_kill(struct tl_vfs *v);

/* Operations of the kinds in `ops` succeed `after` times, then fail `count` times (-1: for ever)
 * with an I/O error. A failing write arrives in part. count 0 switches it off. */
void tl_vfs_fail(struct tl_vfs *v, unsigned ops, int64_t after, int64_t count);
/* Room for so many bytes; -1: no limit. */
void tl_vfs_set_capacity(struct tl_vfs *v, int64_t bytes);
struct tl_disk_stats tl_vfs_stats(struct tl_vfs *v);
