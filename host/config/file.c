/* See file.h. */
#include "config/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define PATH_BYTES_MAX 4096

tl_rc tl_config_read(const char *path, struct tl_arena *arena, struct tl_str *out,
                     struct tl_error *err)
{
    FILE *f = fopen(path, "rb");
    *out = (struct tl_str){0};
    if (!f) {
        return tl_error_set(err, errno == ENOENT ? TL_ENOTFOUND : TL_EIO,
                            "cannot read the configuration file '%s': %s", path, strerror(errno));
    }
    char *bytes = tl_mem_alloc(TL_CONFIG_FILE_BYTES_MAX + 1);
    size_t n = fread(bytes, 1, TL_CONFIG_FILE_BYTES_MAX + 1, f);
    bool failed = ferror(f) != 0;
    fclose(f);
    if (!failed && n <= TL_CONFIG_FILE_BYTES_MAX) {
        *out = tl_arena_str(arena, tl_str_n(bytes, n));
    }
    tl_mem_free(bytes);
    if (failed) {
        return tl_error_set(err, TL_EIO, "the configuration file '%s' cannot be read", path);
    }
    return n && !out->p
               ? tl_error_set(err, TL_ELIMIT, "the configuration file '%s' has more than %zu bytes",
                              path, TL_CONFIG_FILE_BYTES_MAX)
               : TL_OK;
}

/* The folders above the file, from the top. */
static void make_folders(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p == '/') {
            *p = 0;
            (void)mkdir(path, 0700); /* what is wrong shows when the file is opened */
            *p = '/';
        }
    }
}

static bool write_all(const char *path, mode_t mode, struct tl_str content)
{
    FILE *f = fopen(path, "wb");
    if (!f) {
        return false;
    }
    bool ok = fchmod(fileno(f), mode) == 0 && fwrite(content.p, 1, content.n, f) == content.n &&
              fflush(f) == 0 && fsync(fileno(f)) == 0;
    int why = errno;
    ok = fclose(f) == 0 && ok;
    errno = why;
    return ok;
}

tl_rc tl_config_replace(const char *path, struct tl_str content, struct tl_error *err)
{
    char target[PATH_BYTES_MAX], next[PATH_BYTES_MAX + 32], real[PATH_MAX];
    struct stat st;
    /* Of a link the file behind it is replaced. */
    int n = snprintf(target, sizeof target, "%s", realpath(path, real) ? real : path);
    if (n < 0 || (size_t)n >= sizeof target) {
        return tl_error_set(err, TL_EIO, "the name of the configuration file is too long");
    }
    make_folders(target);
    snprintf(next, sizeof next, "%s.%ld.new", target, (long)getpid());
    mode_t mode = stat(target, &st) == 0 ? st.st_mode & 0777 : 0600;
    if (!write_all(next, mode, content) || rename(next, target) != 0) {
        int why = errno;
        (void)unlink(next);
        return tl_error_set(err, TL_EIO, "cannot write the configuration file '%s': %s", path,
                            strerror(why));
    }
    return TL_OK;
}
