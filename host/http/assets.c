/* See assets.h. A path cannot lead out of the folder: the kernel resolves it beneath the folder only,
 * dots and links included. */
#include "http/assets.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"

#define FILE_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define CHUNK ((size_t)64 * 1024)

static const char *type_of(const char *name)
{
    static const char *const types[][2] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".mjs", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".json", "application/json"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".ico", "image/x-icon"},
        {".woff2", "font/woff2"},
        {".wasm", "application/wasm"},
        {".txt", "text/plain; charset=utf-8"},
    };
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        size_t k = strlen(types[i][0]);
        if (n >= k && strcmp(name + n - k, types[i][0]) == 0) {
            return types[i][1];
        }
    }
    return "application/octet-stream";
}

static int open_below(const char *folder, const char *name)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        return -1;
    }
    int fd = (int)syscall(SYS_openat2, root, name, &how, sizeof how);
    close(root);
    return fd;
}

static bool read_file(int fd, struct tl_buf *out)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return false;
    }
    for (;;) {
        char *p = tl_buf_reserve(out, CHUNK);
        ssize_t n = p ? read(fd, p, CHUNK) : -1;
        if (n <= 0) {
            return n == 0;
        }
        tl_buf_added(out, (size_t)n);
    }
}

void tl_http_serve_asset(const char *folder, struct tl_http_request *r)
{
    struct tl_str path;
    struct tl_buf out;
    const char *name = "index.html";
    bool ok = tl_http_unescape(&r->arena, r->path, &path);
    while (ok && path.n && path.p[0] == '/') {
        path = tl_str_n(path.p + 1, path.n - 1);
    }
    if (ok && path.n) {
        bool folder_like = path.p[path.n - 1] == '/';
        name =
            tl_arena_printf(&r->arena, "%.*s%s", TL_STR_FMT(path), folder_like ? "index.html" : "");
    }
    int fd = ok && name ? open_below(folder, name) : -1;
    tl_buf_init(&out, FILE_BYTES_MAX);
    if (fd >= 0 && read_file(fd, &out)) {
        tl_http_reply(r, 200, type_of(name), tl_buf_str(&out));
    } else {
        tl_http_reply(r, 404, "text/plain; charset=utf-8", TL_STR_LIT("no such file\n"));
    }
    if (fd >= 0) {
        close(fd);
    }
    tl_buf_deinit(&out);
}
