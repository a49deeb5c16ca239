/* Finding and reading the modules of a bundle. Thread: the one that opens it. Owner: texts are
 * malloc'ed for the bundle. */
#include "luart/bundle_int.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/near.h"
#include "luart/shared.h"

enum { PATH_BYTES = 4096, NAME_BYTES = 300, NEAR_MAX = 2 };

static tl_rc not_found(const char *const *roots, struct tl_str name, struct tl_error *err);

static struct tl_str own(struct tl_str s)
{
    return (struct tl_str){tl_mem_dup(s), s.n};
}

/* Letters, digits, '_', '-' and single dots: nothing that could leave a root. */
static bool good_name(struct tl_str name)
{
    if (name.n == 0 || name.n > NAME_BYTES - 16 || name.p[0] == '.' || name.p[name.n - 1] == '.') {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        if (!word && !(c == '.' && name.p[i - 1] != '.')) {
            return false;
        }
    }
    return true;
}

tl_rc tl_bundle_read_file(struct tl_bundle *b, const char *path, struct tl_str *text,
                          struct tl_error *err)
{
    FILE *f = fopen(path, "rbe");
    struct stat st;
    if (!f || fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode)) {
        if (f) {
            fclose(f);
        }
        return tl_error_set(err, TL_ENOTFOUND, "%s: no such file", path);
    }
    struct tl_buf buf;
    tl_buf_init(&buf, b->source_bytes_max);
    tl_rc rc = TL_OK;
    char block[16384];
    size_t n;
    while (rc == TL_OK && (n = fread(block, 1, sizeof block, f)) > 0) {
        if (!tl_buf_put(&buf, block, n)) {
            rc = tl_error_set(err, TL_ELIMIT, "%s: larger than %zu bytes", path,
                              b->source_bytes_max);
        }
    }
    if (rc == TL_OK && ferror(f)) {
        rc = tl_error_set(err, TL_EIO, "%s: %s", path, strerror(errno));
    }
    fclose(f);
    if (rc == TL_OK) {
        *text = own(tl_buf_str(&buf));
    }
    tl_buf_deinit(&buf);
    return rc;
}

/* "workflows.order" as "workflows/order" plus an ending. */
static void relative_path(struct tl_str name, const char *ending, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%.*s", TL_STR_FMT(name));
    for (int i = 0; i < n && i < (int)cap; i++) {
        out[i] = out[i] == '.' ? '/' : out[i];
    }
    if ((size_t)n < cap) {
        snprintf(out + n, cap - (size_t)n, "%s", ending);
    }
}

/* A module made of a file of descriptors, "proto:json:PATH" or "proto:binary:PATH": its bytes as a text of
 * Lua that gives their converters. */
static tl_rc read_descriptors(struct tl_bundle *b, struct tl_str name, struct tl_str *file,
                              struct tl_str *text, struct tl_error *err)
{
    char path[PATH_BYTES], escaped[5];
    struct tl_str bytes;
    struct tl_buf out;
    bool binary = name.n > 13 && memcmp(name.p, "proto:binary:", 13) == 0;
    snprintf(path, sizeof path, "%.*s", (int)(name.n - (binary ? 13 : 11)),
             name.p + (binary ? 13 : 11));
    tl_rc rc = tl_bundle_read_file(b, path, &bytes, err);
    if (rc != TL_OK) {
        return rc;
    }
    tl_buf_init(&out, b->source_bytes_max * 4 + 200);
    tl_buf_put(&out, "return require 'temporal.proto'.converters('", 44);
    for (size_t i = 0; i < bytes.n; i++) {
        snprintf(escaped, sizeof escaped, "\\%03u", (unsigned)(unsigned char)bytes.p[i]);
        tl_buf_put(&out, escaped, 4);
    }
    tl_buf_put(&out, binary ? "', true)" : "', false)", binary ? 8 : 9);
    *text = own(tl_buf_str(&out));
    *file = own(TL_STR_LIT("proto_types.lua"));
    tl_buf_deinit(&out);
    tl_mem_free((void *)(uintptr_t)bytes.p);
    return TL_OK;
}

/* A module that a template of the package path ("/usr/share/lua/5.4/?.lua;...") finds. Its file's name is
 * the part behind the template's folder: what a build is made of names no machine's folders. */
static tl_rc read_installed(struct tl_bundle *b, struct tl_str name, struct tl_str *file,
                            struct tl_str *text, struct tl_error *err)
{
    char relative[NAME_BYTES], path[PATH_BYTES];
    const char *at = b->config->package_path;
    relative_path(name, "", relative, sizeof relative);
    while (*at) {
        size_t n = strcspn(at, ";");
        const char *mark = memchr(at, '?', n);
        if (mark) {
            int before = (int)(mark - at), after = (int)(at + n - mark - 1);
            int length =
                snprintf(path, sizeof path, "%.*s%s%.*s", before, at, relative, after, mark + 1);
            tl_rc rc =
                length < (int)sizeof path ? tl_bundle_read_file(b, path, text, err) : TL_ENOTFOUND;
            if (rc == TL_OK) {
                *file = own(tl_str(path + before));
            }
            if (rc != TL_ENOTFOUND) {
                return rc;
            }
        }
        at += n + (at[n] == ';');
    }
    return TL_ENOTFOUND;
}

tl_rc tl_bundle_read_module(struct tl_bundle *b, struct tl_str name, struct tl_str *file,
                            struct tl_str *text, struct tl_error *err)
{
    static const char *const endings[] = {".lua", "/init.lua"};
    const struct tl_bundle_config *c = b->config;
    char relative[NAME_BYTES], path[PATH_BYTES];
    for (size_t i = 0; i < c->source_count; i++) {
        if (tl_str_eq(c->sources[i].name, name)) {
            if (c->sources[i].text.n > b->source_bytes_max) {
                return tl_error_set(err, TL_ELIMIT, "%.*s: larger than %zu bytes", TL_STR_FMT(name),
                                    b->source_bytes_max);
            }
            relative_path(name, ".lua", relative, sizeof relative);
            *file = own(tl_str(relative));
            *text = own(c->sources[i].text);
            return TL_OK;
        }
    }
    for (const struct tl_shared_file *f = tl_shared_files; f->module; f++) {
        if (tl_str_eqc(name, f->module)) {
            relative_path(name, ".lua", relative, sizeof relative);
            *file = own(tl_str(relative));
            *text = own(tl_str_n(f->text, f->n));
            return TL_OK;
        }
    }
    if (name.n > 11 && memcmp(name.p, "proto:", 6) == 0) {
        return read_descriptors(b, name, file, text, err);
    }
    if (!good_name(name)) {
        return tl_error_set(err, TL_ENOTFOUND, "\"%.*s\" is not a module name",
                            (int)(name.n < 100 ? name.n : 100), name.p);
    }
    for (size_t r = 0; c->roots && c->roots[r]; r++) {
        for (size_t e = 0; e < 2; e++) {
            relative_path(name, endings[e], relative, sizeof relative);
            if (snprintf(path, sizeof path, "%s/%s", c->roots[r], relative) >= (int)sizeof path) {
                continue;
            }
            tl_rc rc = tl_bundle_read_file(b, path, text, err);
            if (rc == TL_OK) {
                *file = own(tl_str(relative));
            }
            if (rc != TL_ENOTFOUND) {
                return rc;
            }
        }
    }
    if (b->outside && c->package_path) {
        tl_rc rc = read_installed(b, name, file, text, err);
        if (rc != TL_ENOTFOUND) {
            return rc;
        }
    }
    return not_found(c->roots, name, err);
}

/* --- names, paths and patterns ---------------------------------------------------------------- */

static bool is_path(const char *what)
{
    size_t n = strlen(what);
    return strchr(what, '/') || (n > 4 && strcmp(what + n - 4, ".lua") == 0);
}

bool tl_bundle_is_pattern(const char *what)
{
    size_t n = strlen(what);
    return n >= 1 && what[n - 1] == '*' && (n == 1 || what[n - 2] == '.');
}

/* The module name of a path: "workflows/order.lua" is "workflows.order"; an absolute path counts
 * by its last part. */
static void name_of_path(const char *path, char *out, size_t cap)
{
    const char *from = path[0] == '/' ? strrchr(path, '/') + 1 : path;
    while (strncmp(from, "./", 2) == 0) {
        from += 2;
    }
    size_t n = strlen(from);
    if (n > 4 && strcmp(from + n - 4, ".lua") == 0) {
        n -= 4;
    }
    snprintf(out, cap, "%.*s", (int)n, from);
    for (char *c = out; *c; c++) {
        *c = *c == '/' ? '.' : *c;
    }
}

bool tl_bundle_matches(const char *what, struct tl_str name)
{
    char from_path[NAME_BYTES];
    if (is_path(what)) {
        name_of_path(what, from_path, sizeof from_path);
        return tl_str_eqc(name, from_path);
    }
    if (!tl_bundle_is_pattern(what)) {
        return tl_str_eqc(name, what);
    }
    size_t n = strlen(what) - 1; /* the prefix with its dot */
    return name.n > n && memcmp(name.p, what, n) == 0 && !memchr(name.p + n, '.', name.n - n);
}

struct names {
    char **items;
    size_t n, cap;
};

static void add_name(struct names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++) {
        if (strcmp(names->items[i], name) == 0) {
            return;
        }
    }
    if (names->n == names->cap) {
        names->cap = names->cap ? names->cap * 2 : 16;
        names->items = tl_mem_realloc(names->items, names->cap * sizeof *names->items);
    }
    names->items[names->n++] = tl_mem_dup(tl_str(name));
}

static int name_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The module that an entry of a folder is, or the folder that one could lie in; false: neither. */
static bool entry_name(const char *folder, const char *entry, bool folders, char *out, size_t cap)
{
    char path[PATH_BYTES + 300];
    struct stat st;
    size_t n = strlen(entry);
    bool file = n > 4 && strcmp(entry + n - 4, ".lua") == 0;
    if (entry[0] == '.' || (file && (folders || strcmp(entry, "init.lua") == 0))) {
        return false;
    }
    if (!file) {
        snprintf(path, sizeof path, "%s/%s%s", folder, entry, folders ? "" : "/init.lua");
        if (stat(path, &st) != 0 || (folders && !S_ISDIR(st.st_mode))) {
            return false;
        }
    }
    snprintf(out, cap, "%.*s", (int)(file ? n - 4 : n), entry);
    return true;
}

/* Adds the modules, or the folders, one level below the prefix of a pattern in one root. */
static void list_folder(const char *root, const char *what, bool folders, struct names *names)
{
    char prefix[NAME_BYTES], folder[PATH_BYTES];
    size_t n = strlen(what);
    snprintf(prefix, sizeof prefix, "%.*s", (int)(n >= 2 ? n - 2 : 0), what);
    char relative[NAME_BYTES];
    relative_path(tl_str(prefix), "", relative, sizeof relative);
    snprintf(folder, sizeof folder, "%s/%s", root, relative);
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char module[NAME_BYTES + 300], name[300];
        if (!entry_name(folder, e->d_name, folders, name, sizeof name)) {
            continue;
        }
        snprintf(module, sizeof module, "%s%s%s", prefix, *prefix ? "." : "", name);
        if (good_name(tl_str(module))) {
            add_name(names, module);
        }
    }
    if (d) {
        closedir(d);
    }
}

static void list_roots(const char *const *roots, const char *pattern, bool folders,
                       struct names *names)
{
    for (size_t i = 0; roots && roots[i]; i++) {
        list_folder(roots[i], pattern, folders, names);
    }
}

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->n; i++) {
        tl_mem_free(names->items[i]);
    }
    tl_mem_free(names->items);
}

/* Ends a message about a name that means nothing with one that lies beside it. */
static tl_rc suggest(const char *const *roots, struct tl_str name, bool folders, const char *end,
                     tl_rc rc, struct tl_error *err)
{
    char beside[NAME_BYTES];
    struct names names = {0};
    struct tl_near near = {.wanted = name, .too_many = NEAR_MAX + 1, .fold_case = true};
    size_t dot = name.n;
    while (dot > 0 && name.p[dot - 1] != '.') {
        dot--;
    }
    snprintf(beside, sizeof beside, "%.*s*", (int)dot, name.p);
    list_roots(roots, beside, folders, &names);
    for (size_t i = 0; i < names.n; i++) {
        tl_near_look(&near, tl_str(names.items[i]));
    }
    struct tl_error before = *err;
    if (near.best.p && tl_str_eq(near.best, name)) {
        rc = tl_error_set(err, rc, "%s: the folder is there, without a module in it",
                          before.message);
    } else if (near.best.p) {
        rc = tl_error_set(err, rc, "%s: did you mean \"%s%s\"?", before.message, near.best.p, end);
    }
    free_names(&names);
    return rc;
}

static tl_rc not_found(const char *const *roots, struct tl_str name, struct tl_error *err)
{
    struct tl_error own_err;
    tl_rc rc = tl_error_set(err ? err : &own_err, TL_ENOTFOUND,
                            "module \"%.*s\" is in none of the roots", TL_STR_FMT(name));
    return suggest(roots, name, false, "", rc, err ? err : &own_err);
}

static tl_rc matches_none(const char *const *roots, const char *what, struct tl_error *err)
{
    struct tl_error own_err;
    size_t n = strlen(what);
    tl_rc rc = tl_error_set(err ? err : &own_err, TL_ENOTFOUND, "no module matches \"%s\"", what);
    return n < 2 ? rc : suggest(roots, tl_str_n(what, n - 2), true, ".*", rc, err ? err : &own_err);
}

tl_rc tl_bundle_find_modules(const char *const *roots, const char *what,
                             void (*fn)(void *ud, const char *name), void *ud, struct tl_error *err)
{
    struct names names = {0};
    if (!tl_bundle_is_pattern(what)) {
        return tl_error_set(err, TL_EINVAL, "\"%s\" is not a pattern: end it with \".*\"", what);
    }
    list_roots(roots, what, false, &names);
    if (names.n == 0) {
        return matches_none(roots, what, err);
    }
    qsort(names.items, names.n, sizeof *names.items, name_cmp);
    for (size_t i = 0; i < names.n; i++) {
        fn(ud, names.items[i]);
    }
    free_names(&names);
    return TL_OK;
}

tl_rc tl_bundle_missing_module(const char *const *roots, const char *name, struct tl_error *err)
{
    return not_found(roots, tl_str(name), err);
}

tl_rc tl_bundle_expand(struct tl_bundle *b, const char *what,
                       tl_rc (*fn)(void *ud, struct tl_str name, const char *path,
                                   struct tl_error *err),
                       void *ud, struct tl_error *err)
{
    if (!tl_bundle_is_pattern(what)) {
        char name[NAME_BYTES];
        bool path = is_path(what);
        if (path) {
            name_of_path(what, name, sizeof name);
        }
        return fn(ud, path ? tl_str(name) : tl_str(what), path && what[0] == '/' ? what : NULL,
                  err);
    }
    struct names names = {0};
    list_roots(b->config->roots, what, false, &names);
    for (size_t i = 0; i < b->config->source_count; i++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "%.*s", TL_STR_FMT(b->config->sources[i].name));
        if (tl_bundle_matches(what, tl_str(name))) {
            add_name(&names, name);
        }
    }
    tl_rc rc = TL_OK;
    if (names.n == 0) {
        rc = matches_none(b->config->roots, what, err);
    } else {
        qsort(names.items, names.n, sizeof *names.items, name_cmp);
    }
    for (size_t i = 0; i < names.n; i++) {
        if (rc == TL_OK) {
            rc = fn(ud, tl_str(names.items[i]), NULL, err);
        }
    }
    free_names(&names);
    return rc;
}

/* --- looking for require ---------------------------------------------------------------------- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

void tl_bundle_scan_requires(struct tl_str text, void (*fn)(void *ud, struct tl_str name), void *ud)
{
    static const char word[] = "require";
    enum { N = sizeof word - 1 };
    const char *end = text.p + text.n;
    for (const char *at = text.p; at && (at = memmem(at, (size_t)(end - at), word, N)) != NULL;) {
        const char *p = at + N;
        bool begins = at == text.p || (!is_word(at[-1]) && at[-1] != '.');
        at = p;
        while (begins && p < end && (*p == ' ' || *p == '\t' || *p == '(')) {
            p++;
        }
        if (!begins || p >= end || (*p != '"' && *p != '\'')) {
            continue;
        }
        const char *quote = memchr(p + 1, *p, (size_t)(end - p - 1));
        if (quote && quote - p - 1 > 0 && quote - p - 1 < NAME_BYTES) {
            fn(ud, tl_str_n(p + 1, (size_t)(quote - p - 1)));
            at = quote;
        }
    }
}
