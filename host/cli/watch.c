/* See watch.h. Folders that appear later are found when their parent tells of a change. */
#include "cli/watch.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/map.h"
#include "base/mem.h"

enum { REST_MS = 150, DEPTH_MAX = 16, FOLDERS_MAX = 4096, PATH_BYTES = 4096 };

struct tl_watch {
    struct tl_loop *loop;
    struct tl_map folders; /* path -> struct tl_loop_watch */
    struct tl_loop_timer *rest;
    char **roots;
    size_t root_count;
    void (*fn)(void *ud);
    void *ud;
};

static void changed(void *ud, const char *name);

static tl_rc add(struct tl_watch *w, const char *path, int depth, struct tl_error *err)
{
    struct tl_loop_watch *handle;
    tl_rc rc = TL_OK;
    if (depth > DEPTH_MAX || w->folders.count >= FOLDERS_MAX) {
        return TL_OK;
    }
    if (!tl_map_get(&w->folders, tl_str(path))) {
        rc = tl_loop_watch(w->loop, path, &handle, changed, w, err);
        if (rc != TL_OK) {
            return rc;
        }
        tl_map_put(&w->folders, tl_str(path), handle);
    }
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && rc == TL_OK && (e = readdir(dir)) != NULL;) {
        char sub[PATH_BYTES];
        struct stat st;
        bool fits = snprintf(sub, sizeof sub, "%s/%s", path, e->d_name) < (int)sizeof sub;
        if (e->d_name[0] != '.' && fits && lstat(sub, &st) == 0 && S_ISDIR(st.st_mode)) {
            rc = add(w, sub, depth + 1, err);
        }
    }
    if (dir) {
        closedir(dir);
    }
    return rc;
}

static void at_rest(void *ud)
{
    struct tl_watch *w = ud;
    tl_loop_timer_cancel(w->rest);
    w->rest = NULL;
    for (size_t i = 0; i < w->root_count; i++) {
        struct tl_error err;
        tl_rc rc = add(w, w->roots[i], 0, &err);
        (void)rc; /* a folder that went away meanwhile, or one more than the limit allows */
    }
    w->fn(w->ud);
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* A name without a dot may be a new folder. */
static void changed(void *ud, const char *name)
{
    struct tl_watch *w = ud;
    if (name && strchr(name, '.') && !ends_with(name, ".lua") && !ends_with(name, ".so")) {
        return;
    }
    tl_loop_timer_cancel(w->rest);
    w->rest = tl_loop_timer_start(w->loop, REST_MS, 0, at_rest, w);
}

tl_rc tl_watch_open(struct tl_watch **out, struct tl_loop *loop, char *const *folders, size_t count,
                    void (*fn)(void *ud), void *ud, struct tl_error *err)
{
    struct tl_watch *w = TL_NEW(struct tl_watch);
    tl_rc rc = TL_OK;
    *w = (struct tl_watch){.loop = loop, .fn = fn, .ud = ud, .root_count = count};
    tl_map_init(&w->folders);
    w->roots = TL_NEW_ARRAY(char *, count);
    for (size_t i = 0; i < count; i++) {
        w->roots[i] = tl_mem_dup(tl_str(folders[i]));
    }
    for (size_t i = 0; i < count && rc == TL_OK; i++) {
        rc = add(w, w->roots[i], 0, err);
    }
    *out = w;
    if (rc != TL_OK) {
        tl_watch_close(w);
        *out = NULL;
    }
    return rc;
}

void tl_watch_close(struct tl_watch *w)
{
    if (!w) {
        return;
    }
    tl_loop_timer_cancel(w->rest);
    TL_MAP_EACH (e, &w->folders) {
        tl_loop_watch_cancel(e->value);
    }
    tl_map_deinit(&w->folders);
    for (size_t i = 0; i < w->root_count; i++) {
        tl_mem_free(w->roots[i]);
    }
    tl_mem_free(w->roots);
    tl_mem_free(w);
}
