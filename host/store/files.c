/* What the store asks of the file system itself: is the path usable, whose is it, is it durable.
 * See store_int.h. Thread: the one that opens or closes the store. */
#include "store/store_int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static tl_rc rc_of_errno(int e)
{
    switch (e) {
    case ENOENT:
    case ENOTDIR:
        return TL_ENOTFOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return TL_EPERMISSION;
    case ENOSPC:
    case EDQUOT:
        return TL_EDISKFULL;
    default:
        return TL_EIO;
    }
}

static void directory_of(const char *path, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if (!slash) {
        snprintf(out, PATH_MAX, ".");
    } else if (slash == path) {
        snprintf(out, PATH_MAX, "/");
    } else {
        snprintf(out, PATH_MAX, "%.*s", (int)(slash - path), path);
    }
}

tl_rc tl_files_check(const char *path, bool *exists, struct tl_error *err)
{
    char directory[PATH_MAX];
    struct stat st;
    if (*path == 0 || strlen(path) + sizeof ".lock" > PATH_MAX) {
        return tl_error_set(err, TL_EINVAL, "the name of the database file is empty or too long");
    }
    directory_of(path, directory);
    if (stat(directory, &st) || !S_ISDIR(st.st_mode)) {
        int e = errno == EACCES ? EACCES : ENOENT;
        return tl_error_set(err, rc_of_errno(e),
                            e == EACCES
                                ? "cannot open database %s: no access to the folder %s"
                                : "cannot open database %s: there is no folder %s: create it",
                            path, directory);
    }
    if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS)) {
        return tl_error_set(err, rc_of_errno(errno),
                            "cannot open database %s: the folder %s must be writable, for the log "
                            "and the lock beside the database (%s)",
                            path, directory, strerror(errno));
    }
    *exists = stat(path, &st) == 0;
    if (!*exists) {
        return TL_OK;
    }
    if (!S_ISREG(st.st_mode)) {
        return tl_error_set(err, TL_EINVAL, "cannot open database %s: it is not a regular file",
                            path);
    }
    if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS)) {
        return tl_error_set(err, rc_of_errno(errno),
                            "cannot open database %s: it must be readable and writable (%s)", path,
                            strerror(errno));
    }
    return TL_OK;
}

tl_rc tl_files_temporary(char **directory, char **path, struct tl_error *err)
{
    const char *base = getenv("TMPDIR");
    if (!base || !*base) {
        base = access("/var/tmp", W_OK | X_OK) == 0 ? "/var/tmp" : "/tmp";
    }
    char name[PATH_MAX], file[PATH_MAX + 16];
    int n = snprintf(name, sizeof name, "%s/temporal-lua-XXXXXX", base);
    if (n < 0 || (size_t)n >= sizeof name) {
        return tl_error_set(err, TL_EINVAL, "the name in TMPDIR is too long");
    }
    if (!mkdtemp(name)) {
        return tl_error_set(err, rc_of_errno(errno), "cannot make a temporary folder in %s: %s",
                            base, strerror(errno));
    }
    snprintf(file, sizeof file, "%s/store", name);
    *directory = tl_mem_dup(tl_str(name));
    *path = tl_mem_dup(tl_str(file));
    return TL_OK;
}

void tl_files_unlink(const char *directory, const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char name[PATH_MAX + 32];
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
    rmdir(directory);
}

/* True when the file behind fd is still the one that the name leads to: a holder unlinks the name
 * before it lets go, so a waiter may have locked a file that nobody else will ever see. */
static bool still_named(int fd, const char *name)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(name, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static tl_rc locked_by_other(int fd, const char *path, struct tl_error *err)
{
    char pid[24] = "";
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    pid[n > 0 ? n : 0] = 0;
    pid[strcspn(pid, "\n")] = 0;
    return tl_error_set(err, TL_ELOCKED,
                        "database %s is in use by another server (process %s): stop it, or name "
                        "another file",
                        path, *pid ? pid : "unknown");
}

static tl_rc try_lock(const char *name, const char *path, int *out, struct tl_error *err)
{
    for (int i = 0; i < 100; i++) {
        int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0) {
            return tl_error_set(err, rc_of_errno(errno), "cannot open the lock file %s: %s", name,
                                strerror(errno));
        }
        if (flock(fd, LOCK_EX | LOCK_NB)) {
            int e = errno;
            tl_rc rc = e == EWOULDBLOCK
                           ? locked_by_other(fd, path, err)
                           : tl_error_set(err, TL_EIO, "cannot lock %s: %s", name, strerror(e));
            close(fd);
            return rc;
        }
        if (still_named(fd, name)) {
            *out = fd;
            return TL_OK;
        }
        close(fd);
    }
    return tl_error_set(err, TL_ELOCKED, "database %s: the lock file %s keeps changing", path,
                        name);
}

tl_rc tl_files_lock(const char *path, int *fd, char **lock_path, struct tl_error *err)
{
    /* Two names of one file (a symbolic link) must meet in one lock. */
    char real[PATH_MAX], name[PATH_MAX + 8];
    snprintf(name, sizeof name, "%s.lock", realpath(path, real) ? real : path);
    tl_rc rc = try_lock(name, path, fd, err);
    if (rc) {
        return rc;
    }
    char pid[24];
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    /* The number only helps the message of whoever comes second; a full disk may refuse it. */
    if (ftruncate(*fd, 0) == 0 && pwrite(*fd, pid, (size_t)n, 0) != n) {
        (void)ftruncate(*fd, 0);
    }
    *lock_path = tl_mem_dup(tl_str(name));
    return TL_OK;
}

void tl_files_unlock(int fd, char *lock_path)
{
    if (fd >= 0) {
        unlink(lock_path);
        close(fd);
    }
    tl_mem_free(lock_path);
}

tl_rc tl_files_sync_directory(const char *path, struct tl_error *err)
{
    char directory[PATH_MAX];
    directory_of(path, directory);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd)) {
        int e = errno;
        if (fd >= 0) {
            close(fd);
        }
        return tl_error_set(err, rc_of_errno(e), "cannot sync the folder %s: %s", directory,
                            strerror(e));
    }
    close(fd);
    return TL_OK;
}
