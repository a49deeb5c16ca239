/* The storage driver of files: <folder>/<first two digits>/<SHA-256>. See storage.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/world.h"
#include "codec/storage.h"
#include "crypto/digest.h"

#define PATH_MAX_BYTES 4096

struct file_driver {
    struct tl_storage_driver base;
    char *folder;
};

static tl_rc io_error(const char *what, const char *path, struct tl_error *err)
{
    return tl_error_set(err, TL_EIO, "%s %s: %s", what, path, strerror(errno));
}

static tl_rc write_all(int fd, struct tl_str bytes, const char *path, struct tl_error *err)
{
    while (bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno != EINTR) {
            return io_error("cannot write", path, err);
        }
        if (n > 0) {
            bytes.p += n;
            bytes.n -= (size_t)n;
        }
    }
    return fsync(fd) == 0 ? TL_OK : io_error("cannot write", path, err);
}

/* Another name first: whoever reads finds the whole file or none. */
static tl_rc write_file(const char *path, struct tl_str bytes, struct tl_error *err)
{
    char temporary[PATH_MAX_BYTES + 40];
    snprintf(temporary, sizeof temporary, "%s.%016llx", path,
             (unsigned long long)tl_world_random(tl_world_real()));
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return io_error("cannot make", temporary, err);
    }
    tl_rc rc = write_all(fd, bytes, temporary, err);
    if (close(fd) != 0 && rc == TL_OK) {
        rc = io_error("cannot write", temporary, err);
    }
    if (rc == TL_OK && rename(temporary, path) != 0) {
        rc = io_error("cannot make", path, err);
    }
    if (rc != TL_OK) {
        unlink(temporary);
    }
    return rc;
}

static tl_rc make_path(const struct file_driver *f, const char *hex, char *path,
                       struct tl_error *err)
{
    int n = snprintf(path, PATH_MAX_BYTES, "%s/%.2s/%s", f->folder, hex, hex);
    return n < PATH_MAX_BYTES ? TL_OK
                              : tl_error_set(err, TL_EINVAL, "the folder's name is too long");
}

static tl_rc store(struct tl_storage_driver *d, struct tl_str bytes,
                   const struct tl_payload_context *context, TpSdk__ExternalStorageReference *ref,
                   struct tl_arena *arena, struct tl_error *err)
{
    (void)context;
    struct file_driver *f = (struct file_driver *)d;
    char hex[TL_SHA256_HEX], path[PATH_MAX_BYTES];
    if (!tl_storage_claim_hash(ref, arena, bytes, hex)) {
        return tl_error_set(err, TL_ELIMIT, "a payload is too large");
    }
    tl_rc rc = make_path(f, hex, path, err);
    if (rc != TL_OK || access(path, R_OK) == 0) {
        return rc; /* the same content is there already */
    }
    char *slash = strrchr(path, '/');
    *slash = '\0';
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return io_error("cannot make the folder", path, err);
    }
    *slash = '/';
    return write_file(path, bytes, err);
}

static tl_rc read_file(const char *path, struct tl_arena *arena, struct tl_str *out,
                       struct tl_error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        tl_rc rc = tl_error_set(err, TL_ENOTFOUND, "%s is not there", path);
        if (fd >= 0) {
            close(fd);
        }
        return rc;
    }
    size_t size = (size_t)st.st_size, n = 0;
    char *bytes = size <= (size_t)tl_limit_request_bytes ? tl_arena_alloc(arena, size + 1) : NULL;
    ssize_t got = 1;
    while (bytes && n < size && (got = read(fd, bytes + n, size - n)) > 0) {
        n += (size_t)got;
    }
    close(fd);
    if (!bytes) {
        return tl_error_set(err, TL_ELIMIT, "%s has %zu bytes", path, size);
    }
    *out = tl_str_n(bytes, n);
    return got < 0 ? io_error("cannot read", path, err) : TL_OK;
}

/* Exactly 64 hexadecimal digits: a claim comes from the network and may name no other file. */
static bool is_hash(const char *text)
{
    return strlen(text) == TL_SHA256_HEX - 1 &&
           strspn(text, "0123456789abcdef") == TL_SHA256_HEX - 1;
}

static tl_rc retrieve(struct tl_storage_driver *d, const TpSdk__ExternalStorageReference *ref,
                      const struct tl_payload_context *context, struct tl_arena *arena,
                      struct tl_str *out, struct tl_error *err)
{
    (void)context;
    struct file_driver *f = (struct file_driver *)d;
    const char *hex = tl_storage_claim_get(ref, "hash_value");
    char path[PATH_MAX_BYTES];
    if (!is_hash(hex)) {
        return tl_error_set(err, TL_EDECODE, "the claim has no SHA-256 under hash_value");
    }
    tl_rc rc = make_path(f, hex, path, err);
    if (rc == TL_OK) {
        rc = read_file(path, arena, out, err);
    }
    return rc == TL_OK ? tl_storage_claim_check(ref, *out, err) : rc;
}

static void free_driver(struct tl_storage_driver *d)
{
    struct file_driver *f = (struct file_driver *)d;
    tl_mem_free(f->folder);
    tl_mem_free(f);
}

static const struct tl_storage_driver_ops ops = {store, retrieve, free_driver};

tl_rc tl_storage_file(struct tl_storage_driver **out, const char *folder, struct tl_error *err)
{
    struct stat st;
    if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return tl_error_set(err, TL_EINVAL, "there is no folder %s", folder);
    }
    struct file_driver *f = TL_NEW(struct file_driver);
    f->base.ops = &ops;
    f->folder = tl_mem_dup(tl_str(folder));
    *out = &f->base;
    return TL_OK;
}
