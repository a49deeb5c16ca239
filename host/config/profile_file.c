/* See profile_file.h. The file is a list of its values and table headers in their order. */
#include "config/profile_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/near.h"
#include "config/file.h"
#include "config/toml.h"

#define PROFILE TL_STR_LIT("profile")
#define TLS "tls"
#define META "grpc_meta."
#define NAMES_MAX 256

struct entry {
    struct entry *next;
    struct tl_str *path;
    size_t depth;
    enum tl_toml_kind kind;
    struct tl_str text;
};

struct tl_profile_file {
    struct tl_arena *arena;
    const char *path;
    struct entry *first;
    const char *names[NAMES_MAX]; /* of the last question, in order */
};

static const struct {
    const char *name;
    enum tl_prop_kind kind;
} props[] = {
#define X(field, key, variable) {key, TL_PROP_TEXT},
    TL_PROFILE_TEXTS(X)
#undef X
        {TLS, TL_PROP_SWITCH},
    {"tls.disabled", TL_PROP_SWITCH},
    {"tls.disable_host_verification", TL_PROP_SWITCH},
};
#define PROP_COUNT (sizeof props / sizeof props[0])

enum tl_prop_kind tl_profile_prop_kind(const char *property)
{
    if (strncmp(property, META, sizeof META - 1) == 0 && property[sizeof META - 1]) {
        return TL_PROP_TEXT;
    }
    for (size_t i = 0; i < PROP_COUNT; i++) {
        if (strcmp(props[i].name, property) == 0) {
            return props[i].kind;
        }
    }
    return TL_PROP_UNKNOWN;
}

const char *tl_profile_prop_near(const char *property)
{
    struct tl_near near = {.wanted = tl_str(property), .too_many = 3, .fold_case = true};
    for (size_t i = 0; i < PROP_COUNT; i++) {
        tl_near_look(&near, tl_str(props[i].name));
    }
    return near.best.p;
}

/* --- entries ------------------------------------------------------------------------------------- */

static struct entry **end_of(struct tl_profile_file *f)
{
    struct entry **at = &f->first;
    while (*at) {
        at = &(*at)->next;
    }
    return at;
}

/* Adds an entry behind the last; the texts are the caller's and outlive the file. */
static tl_rc add(struct tl_profile_file *f, const struct tl_str *path, size_t depth,
                 enum tl_toml_kind kind, struct tl_str text, struct tl_error *err)
{
    struct entry *e = tl_arena_alloc(f->arena, sizeof *e);
    struct tl_str *copy = tl_arena_copy(f->arena, path, depth * sizeof *path);
    if (!e || !copy) {
        return tl_error_set(err, TL_ELIMIT, "the settings do not fit the memory limit");
    }
    *e = (struct entry){.path = copy, .depth = depth, .kind = kind, .text = text};
    *end_of(f) = e;
    return TL_OK;
}

static tl_rc take(void *ud, const struct tl_toml_value *v, struct tl_error *err)
{
    return add(ud, v->path, v->depth, v->kind, v->text, err);
}

static bool in_profile(const struct entry *e, const char *profile)
{
    return e->depth >= 2 && tl_str_eq(e->path[0], PROFILE) && tl_str_eqc(e->path[1], profile);
}

/* A header's name as it is sent. */
static char sent(char c)
{
    return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_same_header(struct tl_str a, struct tl_str b)
{
    for (size_t i = 0; i < a.n && i < b.n; i++) {
        if (sent(a.p[i]) != sent(b.p[i])) {
            return false;
        }
    }
    return a.n == b.n;
}

/* A property's keys below its profile: one, or a table and one in it. */
static size_t split(const char *property, struct tl_str *keys)
{
    const char *dot = strchr(property, '.');
    keys[0] = dot ? tl_str_n(property, (size_t)(dot - property)) : tl_str(property);
    keys[1] = dot ? tl_str(dot + 1) : (struct tl_str){0};
    return dot ? 2 : 1;
}

static bool is_property(const struct entry *e, const char *profile, const char *property)
{
    struct tl_str keys[2];
    size_t n = split(property, keys);
    if (!in_profile(e, profile) || e->depth != n + 2 || !tl_str_eq(e->path[2], keys[0]) ||
        e->kind == TL_TOML_TABLE) {
        return false;
    }
    return n == 1 || (tl_str_eqc(keys[0], "grpc_meta") ? is_same_header(e->path[3], keys[1])
                                                       : tl_str_eq(e->path[3], keys[1]));
}

/* Whether it is the profile's table tls or anything in it. */
static bool is_tls(const struct entry *e, const char *profile)
{
    return in_profile(e, profile) && e->depth >= 3 && tl_str_eqc(e->path[2], TLS) &&
           (e->depth > 3 || e->kind == TL_TOML_TABLE);
}

static struct entry *find(struct tl_profile_file *f, const char *profile, const char *property)
{
    struct entry *e = f->first;
    while (e && !is_property(e, profile, property)) {
        e = e->next;
    }
    return e;
}

/* --- file ---------------------------------------------------------------------------------------- */

tl_rc tl_profile_file_open(const char *path, struct tl_arena *arena, struct tl_profile_file **out,
                           struct tl_error *err)
{
    struct tl_profile_file *f = tl_arena_alloc(arena, sizeof *f);
    struct tl_str text = {0};
    if (!f) {
        return tl_error_set(err, TL_ELIMIT, "the settings do not fit the memory limit");
    }
    *f = (struct tl_profile_file){.arena = arena, .path = path};
    tl_rc rc = tl_config_read(path, arena, &text, err);
    if (rc == TL_OK) {
        rc = tl_toml_read(text, arena, take, f, err);
        rc = rc == TL_OK ? rc : tl_error_wrap(err, rc, "%s", path);
    }
    *out = f;
    return rc == TL_ENOTFOUND ? TL_OK : rc;
}

static void put_string(struct tl_buf *b, struct tl_str s)
{
    tl_buf_putc(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            tl_buf_putc(b, '\\');
            tl_buf_putc(b, (char)c);
        } else if (c == '\n') {
            tl_buf_puts(b, "\\n");
        } else if (c < 0x20 || c == 0x7f) {
            tl_buf_printf(b, "\\u%04x", c);
        } else {
            tl_buf_putc(b, (char)c);
        }
    }
    tl_buf_putc(b, '"');
}

static void put_key(struct tl_buf *b, struct tl_str key)
{
    bool bare = key.n > 0;
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        bare = bare && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '_' || c == '-');
    }
    if (bare) {
        tl_buf_put_str(b, key);
    } else {
        put_string(b, key);
    }
}

static size_t table_depth(const struct entry *e)
{
    return e->kind == TL_TOML_TABLE ? e->depth : e->depth - 1;
}

static bool is_same_table(const struct entry *a, const struct entry *b)
{
    if (table_depth(a) != table_depth(b)) {
        return false;
    }
    for (size_t i = 0; i < table_depth(a); i++) {
        if (!tl_str_eq(a->path[i], b->path[i])) {
            return false;
        }
    }
    return true;
}

static void put_table(const struct tl_profile_file *f, const struct entry *first, struct tl_buf *b)
{
    size_t depth = table_depth(first);
    if (depth) {
        tl_buf_puts(b, b->n ? "\n[" : "[");
        for (size_t i = 0; i < depth; i++) {
            tl_buf_puts(b, i ? "." : "");
            put_key(b, first->path[i]);
        }
        tl_buf_puts(b, "]\n");
    }
    for (const struct entry *e = first; e; e = e->next) {
        if (e->kind == TL_TOML_TABLE || !is_same_table(e, first)) {
            continue;
        }
        put_key(b, e->path[depth]);
        tl_buf_puts(b, " = ");
        if (e->kind == TL_TOML_STRING) {
            put_string(b, e->text);
        } else {
            tl_buf_put_str(b, e->text);
        }
        tl_buf_putc(b, '\n');
    }
    (void)f;
}

/* Values outside of tables come first: behind a header they would be its. */
static void put_tables(const struct tl_profile_file *f, bool outside, struct tl_buf *b)
{
    for (const struct entry *e = f->first; e; e = e->next) {
        const struct entry *before = f->first;
        while (before != e && !is_same_table(before, e)) {
            before = before->next;
        }
        if (before == e && (table_depth(e) == 0) == outside) {
            put_table(f, e, b);
        }
    }
}

tl_rc tl_profile_file_save(const struct tl_profile_file *f, struct tl_error *err)
{
    struct tl_buf b;
    tl_buf_init(&b, TL_CONFIG_FILE_BYTES_MAX);
    put_tables(f, true, &b);
    put_tables(f, false, &b);
    tl_rc rc = tl_buf_failed(&b)
                   ? tl_error_set(err, TL_ELIMIT, "the settings have more than %zu bytes",
                                  TL_CONFIG_FILE_BYTES_MAX)
                   : tl_config_replace(f->path, tl_buf_str(&b), err);
    tl_buf_deinit(&b);
    return rc;
}

/* --- questions ----------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Adds a name to those of this question, once. */
static void collect(struct tl_profile_file *f, size_t *n, const char *name)
{
    for (size_t i = 0; i < *n; i++) {
        if (strcmp(f->names[i], name) == 0) {
            return;
        }
    }
    if (name && *n < NAMES_MAX) {
        f->names[(*n)++] = name;
    }
}

const char *tl_profile_file_name(struct tl_profile_file *f, size_t i)
{
    size_t n = 0;
    for (const struct entry *e = f->first; e; e = e->next) {
        const char *name = e->depth >= 2 && tl_str_eq(e->path[0], PROFILE)
                               ? tl_arena_cstr(f->arena, e->path[1])
                               : NULL;
        if (name) {
            collect(f, &n, name);
        }
    }
    qsort(f->names, n, sizeof f->names[0], by_text);
    return i < n ? f->names[i] : NULL;
}

bool tl_profile_file_has(const struct tl_profile_file *f, const char *profile)
{
    const struct entry *e = f->first;
    while (e && !in_profile(e, profile)) {
        e = e->next;
    }
    return e != NULL;
}

const char *tl_profile_file_prop(struct tl_profile_file *f, const char *profile, size_t i)
{
    size_t n = 0;
    for (size_t k = 0; k < PROP_COUNT; k++) {
        const char *value = tl_profile_file_get(f, profile, props[k].name);
        if (value && (strcmp(props[k].name, TLS) != 0 || strcmp(value, "true") == 0)) {
            collect(f, &n, props[k].name);
        }
    }
    for (const struct entry *e = f->first; e; e = e->next) {
        if (in_profile(e, profile) && e->depth == 4 && tl_str_eqc(e->path[2], "grpc_meta")) {
            char *name = tl_arena_printf(f->arena, META "%.*s", TL_STR_FMT(e->path[3]));
            for (char *c = name ? name + sizeof META - 1 : NULL; c && *c; c++) {
                *c = sent(*c);
            }
            if (name) {
                collect(f, &n, name);
            }
        }
    }
    qsort(f->names, n, sizeof f->names[0], by_text);
    return i < n ? f->names[i] : NULL;
}

const char *tl_profile_file_get(struct tl_profile_file *f, const char *profile,
                                const char *property)
{
    const struct entry *e = find(f, profile, property);
    if (e || strcmp(property, TLS) != 0) {
        return e ? tl_arena_cstr(f->arena, e->text) : NULL;
    }
    for (e = f->first; e && !is_tls(e, profile); e = e->next) {
    }
    return e ? "true" : "false";
}

/* --- changes ------------------------------------------------------------------------------------- */

static bool remove_tls(struct tl_profile_file *f, const char *profile, bool table)
{
    bool found = false;
    for (struct entry **at = &f->first; *at;) {
        if ((table && is_tls(*at, profile)) || is_property(*at, profile, TLS)) {
            *at = (*at)->next;
            found = true;
        } else {
            at = &(*at)->next;
        }
    }
    return found;
}

static tl_rc set_tls(struct tl_profile_file *f, const char *profile, bool on, struct tl_error *err)
{
    const struct tl_str path[] = {PROFILE, tl_str(profile), TL_STR_LIT(TLS)};
    remove_tls(f, profile, !on);
    return on ? add(f, path, 3, TL_TOML_TABLE, (struct tl_str){0}, err) : TL_OK;
}

static tl_rc set_value(struct tl_profile_file *f, const char *profile, const char *property,
                       enum tl_toml_kind kind, const char *text, struct tl_error *err)
{
    struct entry *e = find(f, profile, property);
    struct tl_str path[4] = {PROFILE, tl_str(profile)};
    size_t n = split(property, path + 2);
    if (e) {
        e->kind = kind;
        e->text = tl_str(text);
        return TL_OK;
    }
    if (tl_str_eqc(path[2], TLS) && (e = find(f, profile, TLS)) != NULL) {
        /* `tls = true` becomes the table; false is said in it. */
        bool off = tl_str_eqc(e->text, "false");
        const struct tl_str disabled[] = {path[0], path[1], path[2], TL_STR_LIT("disabled")};
        remove_tls(f, profile, false);
        if (off && !tl_str_eqc(path[3], "disabled") &&
            add(f, disabled, 4, TL_TOML_BOOLEAN, TL_STR_LIT("true"), err) != TL_OK) {
            return TL_ELIMIT;
        }
    }
    return add(f, path, n + 2, kind, tl_str(text), err);
}

tl_rc tl_profile_file_set(struct tl_profile_file *f, const char *profile, const char *property,
                          const char *text, struct tl_error *err)
{
    enum tl_prop_kind kind = tl_profile_prop_kind(property);
    if (kind != TL_PROP_SWITCH) {
        return set_value(f, profile, property, TL_TOML_STRING, text, err);
    }
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        return tl_error_set(err, TL_EINVAL, "%s wants true or false, got '%s'", property, text);
    }
    return strcmp(property, TLS) == 0 ? set_tls(f, profile, *text == 't', err)
                                      : set_value(f, profile, property, TL_TOML_BOOLEAN, text, err);
}

bool tl_profile_file_unset(struct tl_profile_file *f, const char *profile, const char *property)
{
    if (strcmp(property, TLS) == 0) {
        return remove_tls(f, profile, true);
    }
    for (struct entry **at = &f->first; *at; at = &(*at)->next) {
        if (is_property(*at, profile, property)) {
            *at = (*at)->next;
            return true;
        }
    }
    return false;
}

void tl_profile_file_remove(struct tl_profile_file *f, const char *profile)
{
    for (struct entry **at = &f->first; *at;) {
        if (in_profile(*at, profile)) {
            *at = (*at)->next;
        } else {
            at = &(*at)->next;
        }
    }
}
