/* The SQLite side of the simulated disk. See vfs_fault.h. */
#include "store/vfs_fault.h"

#include <pthread.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

#define REGIONS_MAX 4096

/* What the open handles of one name share: file locks, and the index of the write-ahead log. */
struct shared {
    int refs;
    struct file *reserved, *pending, *exclusive; /* holders, NULL: nobody */
    int readers;
    void *regions[REGIONS_MAX]; /* owned */
    int region_count;
    int shm_readers[SQLITE_SHM_NLOCK]; /* -1: held exclusively */
};

struct file {
    sqlite3_file base; /* first: SQLite knows only this part */
    struct tl_list link;
    struct tl_vfs *vfs;
    struct tl_disk_file *disk_file;
    struct shared *shared;
    char *name;        /* owned; "" for a nameless file */
    int level;         /* SQLITE_LOCK_* */
    unsigned shm_read; /* bit per slot */
    unsigned shm_write;
    bool dead; /* its process has died */
    bool delete_on_close;
    bool sync_names; /* a log or journal: its first sync syncs the directory, as on Unix */
};

struct tl_vfs {
    sqlite3_vfs base;
    char name[64];
    pthread_mutex_t mutex;
    struct tl_disk *disk;
    struct tl_map shared; /* name -> struct shared */
    struct tl_list files; /* open handles */
    struct tl_rng rng;
    unsigned fail_ops;
    int64_t fail_after, fail_count;
};

static struct file *file_of(sqlite3_file *f)
{
    return (struct file *)f;
}

static struct tl_vfs *vfs_of(sqlite3_vfs *v)
{
    return v->pAppData;
}

/* Counts the operation and tells whether it is one that shall fail. Mutex held. */
static bool trips(struct tl_vfs *v, enum tl_vfs_op op)
{
    if (!(v->fail_ops & op) || v->fail_count == 0) {
        return false;
    }
    if (v->fail_after > 0) {
        v->fail_after--;
        return false;
    }
    v->fail_count -= v->fail_count > 0;
    return true;
}

/* --- shared state of a name ------------------------------------------------------------------- */

static struct shared *shared_get(struct tl_vfs *v, const char *name)
{
    struct shared *s = *name ? tl_map_get(&v->shared, tl_str(name)) : NULL;
    if (!s) {
        s = TL_NEW(struct shared);
        if (*name) {
            tl_map_put(&v->shared, tl_str(name), s);
        }
    }
    s->refs++;
    return s;
}

static void shared_release(struct tl_vfs *v, struct file *f)
{
    struct shared *s = f->shared;
    if (--s->refs > 0) {
        return;
    }
    if (*f->name && tl_map_get(&v->shared, tl_str(f->name)) == s) {
        tl_map_del(&v->shared, tl_str(f->name));
    }
    for (int i = 0; i < s->region_count; i++) {
        tl_mem_free(s->regions[i]);
    }
    tl_mem_free(s);
}

static void drop_locks(struct file *f)
{
    struct shared *s = f->shared;
    s->reserved = s->reserved == f ? NULL : s->reserved;
    s->pending = s->pending == f ? NULL : s->pending;
    s->exclusive = s->exclusive == f ? NULL : s->exclusive;
    s->readers -= f->level >= SQLITE_LOCK_SHARED;
    f->level = SQLITE_LOCK_NONE;
}

static void drop_shm_locks(struct file *f)
{
    for (int i = 0; i < SQLITE_SHM_NLOCK; i++) {
        unsigned bit = 1u << i;
        if (f->shm_write & bit) {
            f->shared->shm_readers[i] = 0;
        } else if (f->shm_read & bit) {
            f->shared->shm_readers[i]--;
        }
    }
    f->shm_read = f->shm_write = 0;
}

/* --- files ------------------------------------------------------------------------------------ */

static int file_close(sqlite3_file *base)
{
    struct file *f = file_of(base);
    struct tl_vfs *v = f->vfs;
    pthread_mutex_lock(&v->mutex);
    drop_shm_locks(f);
    drop_locks(f);
    shared_release(v, f);
    if (f->delete_on_close && *f->name && !f->dead) {
        tl_disk_delete(v->disk, tl_str(f->name));
    }
    tl_disk_close(v->disk, f->disk_file);
    tl_list_remove(&f->link);
    tl_mem_free(f->name);
    pthread_mutex_unlock(&v->mutex);
    return SQLITE_OK;
}

static int file_read(sqlite3_file *base, void *p, int n, sqlite3_int64 offset)
{
    struct file *f = file_of(base);
    pthread_mutex_lock(&f->vfs->mutex);
    int rc = SQLITE_IOERR_READ;
    if (!f->dead && !trips(f->vfs, TL_VFS_READ)) {
        size_t have = tl_disk_read(f->disk_file, offset, p, (size_t)n);
        rc = have == (size_t)n ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
    }
    pthread_mutex_unlock(&f->vfs->mutex);
    return rc;
}

static int file_write(sqlite3_file *base, const void *p, int n, sqlite3_int64 offset)
{
    struct file *f = file_of(base);
    struct tl_vfs *v = f->vfs;
    pthread_mutex_lock(&v->mutex);
    int rc = SQLITE_OK;
    if (f->dead) {
        rc = SQLITE_IOERR_WRITE;
    } else if (trips(v, TL_VFS_WRITE)) {
        size_t part = (size_t)tl_rng_below(&v->rng, (uint64_t)n + 1) / 512 * 512;
        if (part) {
            (void)tl_disk_write(v->disk, f->disk_file, offset, p, part);
        }
        rc = SQLITE_IOERR_WRITE;
    } else if (!tl_disk_write(v->disk, f->disk_file, offset, p, (size_t)n)) {
        rc = SQLITE_FULL;
    }
    pthread_mutex_unlock(&v->mutex);
    return rc;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct file *f = file_of(base);
    pthread_mutex_lock(&f->vfs->mutex);
    int rc = SQLITE_IOERR_TRUNCATE;
    if (!f->dead && !trips(f->vfs, TL_VFS_TRUNCATE)) {
        tl_disk_truncate(f->vfs->disk, f->disk_file, size);
        rc = SQLITE_OK;
    }
    pthread_mutex_unlock(&f->vfs->mutex);
    return rc;
}

static int file_sync(sqlite3_file *base, int flags)
{
    (void)flags;
    struct file *f = file_of(base);
    pthread_mutex_lock(&f->vfs->mutex);
    int rc = SQLITE_IOERR_FSYNC;
    if (!f->dead && !trips(f->vfs, TL_VFS_SYNC)) {
        tl_disk_sync(f->vfs->disk, f->disk_file);
        if (f->sync_names) {
            tl_disk_sync_names(f->vfs->disk);
            f->sync_names = false;
        }
        rc = SQLITE_OK;
    }
    pthread_mutex_unlock(&f->vfs->mutex);
    return rc;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size)
{
    struct file *f = file_of(base);
    pthread_mutex_lock(&f->vfs->mutex);
    *size = tl_disk_size(f->disk_file);
    int rc = f->dead ? SQLITE_IOERR_FSTAT : SQLITE_OK;
    pthread_mutex_unlock(&f->vfs->mutex);
    return rc;
}

static bool other(const struct file *holder, const struct file *f)
{
    return holder && holder != f;
}

static int lock(struct file *f, int level)
{
    struct shared *s = f->shared;
    if (f->level >= level) {
        return SQLITE_OK;
    }
    if (level == SQLITE_LOCK_SHARED) {
        if (other(s->pending, f) || other(s->exclusive, f)) {
            return SQLITE_BUSY;
        }
        s->readers++;
    } else if (level == SQLITE_LOCK_RESERVED) {
        if (other(s->reserved, f) || other(s->pending, f) || other(s->exclusive, f)) {
            return SQLITE_BUSY;
        }
        s->reserved = f;
    } else {
        if (other(s->reserved, f) || other(s->pending, f) || other(s->exclusive, f)) {
            return SQLITE_BUSY;
        }
        s->pending = f;
        if (s->readers > (f->level >= SQLITE_LOCK_SHARED)) {
            f->level = SQLITE_LOCK_PENDING;
            return SQLITE_BUSY;
        }
        s->exclusive = f;
    }
    f->level = level;
    return SQLITE_OK;
}

static int file_lock(sqlite3_file *base, int level)
{
    struct file *f = file_of(base);
    pthread_mutex_lock(&f->vfs->mutex);
    int rc = f->dead ? SQLITE_IOERR_LOCK : lock(f, level);
    pthread_mutex_unlock(&f->vfs->mutex);
    return rc;
}

static int file_unlock(sqlite3_file *base, int level)
{
    struct file *f = file_of(base);
    pthread_mutex_lock(&f->vfs->mutex);
    if (f->level > level) {
        bool keep = level == SQLITE_LOCK_SHARED;
        drop_locks(f);
        if (keep) {
            f->shared->readers++;
            f->level = SQLITE_LOCK_SHARED;
        }
    }
    pthread_mutex_unlock(&f->vfs->mutex);
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *base, int *out)
{
    struct file *f = file_of(base);
    pthread_mutex_lock(&f->vfs->mutex);
    *out = f->shared->reserved || f->shared->pending || f->shared->exclusive;
    pthread_mutex_unlock(&f->vfs->mutex);
    return f->dead ? SQLITE_IOERR_CHECKRESERVEDLOCK : SQLITE_OK;
}

static int file_control(sqlite3_file *base, int op, void *arg)
{
    (void)base;
    (void)op;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int file_sector_size(sqlite3_file *base)
{
    (void)base;
    return 4096; /* what SQLite assumes of Linux file systems */
}

static int file_characteristics(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as the Unix VFS says by default */
}

/* --- the shared index of the log -------------------------------------------------------------- */

static int file_shm_map(sqlite3_file *base, int region, int bytes, int extend, void volatile **out)
{
    struct file *f = file_of(base);
    struct shared *s = f->shared;
    int rc = SQLITE_OK;
    pthread_mutex_lock(&f->vfs->mutex);
    *out = NULL;
    if (f->dead || region >= REGIONS_MAX) {
        rc = SQLITE_IOERR_SHMMAP;
    } else {
        while (extend && s->region_count <= region) {
            s->regions[s->region_count++] = tl_mem_alloc((size_t)bytes);
        }
        *out = region < s->region_count ? s->regions[region] : NULL;
    }
    pthread_mutex_unlock(&f->vfs->mutex);
    return rc;
}

static int shm_lock(struct file *f, int first, int n, int flags)
{
    struct shared *s = f->shared;
    for (int i = first; i < first + n && !(flags & SQLITE_SHM_UNLOCK); i++) {
        bool mine = (f->shm_read | f->shm_write) & (1u << i);
        bool free = flags & SQLITE_SHM_SHARED ? s->shm_readers[i] >= 0 : s->shm_readers[i] == 0;
        if (!free && !mine) {
            return SQLITE_BUSY;
        }
    }
    for (int i = first; i < first + n; i++) {
        unsigned bit = 1u << i;
        bool mine = (f->shm_read | f->shm_write) & bit;
        if (flags & SQLITE_SHM_UNLOCK) {
            if (f->shm_write & bit) {
                s->shm_readers[i] = 0;
            } else if (mine) {
                s->shm_readers[i]--;
            }
            f->shm_read &= ~bit;
            f->shm_write &= ~bit;
        } else if (!mine && (flags & SQLITE_SHM_SHARED)) {
            s->shm_readers[i]++;
            f->shm_read |= bit;
        } else if (!mine) {
            s->shm_readers[i] = -1;
            f->shm_write |= bit;
        }
    }
    return SQLITE_OK;
}

static int file_shm_lock(sqlite3_file *base, int first, int n, int flags)
{
    struct file *f = file_of(base);
    pthread_mutex_lock(&f->vfs->mutex);
    int rc = f->dead && !(flags & SQLITE_SHM_UNLOCK) ? SQLITE_IOERR_SHMLOCK
                                                     : shm_lock(f, first, n, flags);
    pthread_mutex_unlock(&f->vfs->mutex);
    return rc;
}

static void file_shm_barrier(sqlite3_file *base)
{
    struct file *f = file_of(base);
    pthread_mutex_lock(&f->vfs->mutex);
    pthread_mutex_unlock(&f->vfs->mutex);
}

static int file_shm_unmap(sqlite3_file *base, int delete_it)
{
    struct file *f = file_of(base);
    struct shared *s = f->shared;
    pthread_mutex_lock(&f->vfs->mutex);
    drop_shm_locks(f);
    /* The last user of a database that lives on: the regions go with it, not with the name. */
    if (delete_it && s->refs == 1) {
        for (int i = 0; i < s->region_count; i++) {
            tl_mem_free(s->regions[i]);
        }
        s->region_count = 0;
    }
    pthread_mutex_unlock(&f->vfs->mutex);
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* --- the file system -------------------------------------------------------------------------- */

static int vfs_open(sqlite3_vfs *base, const char *name, sqlite3_file *out, int flags,
                    int *out_flags)
{
    struct tl_vfs *v = vfs_of(base);
    struct file *f = file_of(out);
    bool created, create = !name || (flags & SQLITE_OPEN_CREATE);
    *f = (struct file){0};
    pthread_mutex_lock(&v->mutex);
    struct tl_disk_file *disk_file =
        trips(v, TL_VFS_OPEN) ? NULL
                              : tl_disk_open(v->disk, tl_str(name ? name : ""), create, &created);
    if (disk_file) {
        f->base.pMethods = &methods;
        f->vfs = v;
        f->disk_file = disk_file;
        f->name = tl_mem_dup(tl_str(name ? name : ""));
        f->shared = shared_get(v, f->name);
        f->delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
        f->sync_names =
            flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL);
        tl_list_push(&v->files, &f->link);
    }
    pthread_mutex_unlock(&v->mutex);
    if (out_flags) {
        *out_flags = flags;
    }
    return disk_file ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_delete(sqlite3_vfs *base, const char *name, int sync_names)
{
    struct tl_vfs *v = vfs_of(base);
    int rc = SQLITE_OK;
    pthread_mutex_lock(&v->mutex);
    if (trips(v, TL_VFS_DELETE)) {
        rc = SQLITE_IOERR_DELETE;
    } else if (!tl_disk_delete(v->disk, tl_str(name))) {
        rc = SQLITE_IOERR_DELETE_NOENT;
    } else if (sync_names) {
        tl_disk_sync_names(v->disk);
    }
    pthread_mutex_unlock(&v->mutex);
    return rc;
}

static int vfs_access(sqlite3_vfs *base, const char *name, int flags, int *out)
{
    (void)flags;
    struct tl_vfs *v = vfs_of(base);
    pthread_mutex_lock(&v->mutex);
    *out = tl_disk_exists(v->disk, tl_str(name));
    pthread_mutex_unlock(&v->mutex);
    return SQLITE_OK;
}

static int vfs_full_name(sqlite3_vfs *base, const char *name, int n, char *out)
{
    (void)base;
    return snprintf(out, (size_t)n, "%s", name) < n ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_randomness(sqlite3_vfs *base, int n, char *out)
{
    struct tl_vfs *v = vfs_of(base);
    pthread_mutex_lock(&v->mutex);
    for (int i = 0; i < n; i++) {
        out[i] = (char)tl_rng_next(&v->rng);
    }
    pthread_mutex_unlock(&v->mutex);
    return n;
}

/* Waiting for a lock: only another thread can end it. */
static int vfs_sleep(sqlite3_vfs *base, int us)
{
    (void)base;
    sched_yield();
    return us;
}

static int vfs_time(sqlite3_vfs *base, sqlite3_int64 *out)
{
    (void)base;
    *out = INT64_C(210866760000000); /* 1970-01-01 in milliseconds of Julian days */
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *base, int n, char *out)
{
    (void)base;
    (void)n;
    (void)out;
    return 0;
}

struct tl_vfs *tl_vfs_new(const char *name, uint64_t seed)
{
    struct tl_vfs *v = TL_NEW(struct tl_vfs);
    snprintf(v->name, sizeof v->name, "%s", name);
    pthread_mutex_init(&v->mutex, NULL);
    v->disk = tl_disk_new();
    tl_map_init(&v->shared);
    tl_list_init(&v->files);
    tl_rng_seed(&v->rng, seed);
    v->base = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = (int)sizeof(struct file),
        .mxPathname = 512,
        .zName = v->name,
        .pAppData = v,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_name,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xGetLastError = vfs_last_error,
        .xCurrentTimeInt64 = vfs_time,
    };
    int rc = sqlite3_vfs_register(&v->base, 0);
    TL_ASSERT(rc == SQLITE_OK);
    return v;
}

void tl_vfs_free(struct tl_vfs *v)
{
    TL_ASSERT(tl_list_empty(&v->files));
    sqlite3_vfs_unregister(&v->base);
    tl_map_deinit(&v->shared);
    tl_disk_free(v->disk);
    pthread_mutex_destroy(&v->mutex);
    tl_mem_free(v);
}

/* --- faults ----------------------------------------------------------------------------------- */

static void kill_files(struct tl_vfs *v)
{
    TL_LIST_EACH (it, &v->files) {
        TL_CONTAINER(it, struct file, link)->dead = true;
    }
    /* New handles of the same names start with fresh locks and a fresh index. */
    tl_map_deinit(&v->shared);
    tl_map_init(&v->shared);
    v->fail_count = 0;
}

void tl_vfs_kill(struct tl_vfs *v)
{
    pthread_mutex_lock(&v->mutex);
    kill_files(v);
    pthread_mutex_unlock(&v->mutex);
}

void tl_vfs_power_cut(struct tl_vfs *v, struct tl_rng *rng)
{
    pthread_mutex_lock(&v->mutex);
    kill_files(v);
    tl_disk_power_cut(v->disk, rng);
    pthread_mutex_unlock(&v->mutex);
}

void tl_vfs_fail(struct tl_vfs *v, unsigned ops, int64_t after, int64_t count)
{
    pthread_mutex_lock(&v->mutex);
    v->fail_ops = ops;
    v->fail_after = after;
    v->fail_count = count;
    pthread_mutex_unlock(&v->mutex);
}

void tl_vfs_set_capacity(struct tl_vfs *v, int64_t bytes)
{
    pthread_mutex_lock(&v->mutex);
    tl_disk_set_capacity(v->disk, bytes);
    pthread_mutex_unlock(&v->mutex);
}

struct tl_disk_stats tl_vfs_stats(struct tl_vfs *v)
{
    pthread_mutex_lock(&v->mutex);
    struct tl_disk_stats stats = tl_disk_stats(v->disk);
    pthread_mutex_unlock(&v->mutex);
    return stats;
}
