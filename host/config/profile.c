/* See profile.h. */
#include "config/profile.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/near.h"
#include "config/file.h"
#include "config/toml.h"

#define META_PREFIX "TEMPORAL_GRPC_META_"

extern char **environ;

static const struct {
    size_t offset;
    const char *key, *variable;
} texts[] = {
#define X(field, key, variable) {offsetof(struct tl_profile, field), key, variable},
    TL_PROFILE_TEXTS(X)
#undef X
};
#define TEXT_COUNT (sizeof texts / sizeof texts[0])

static const char **text_at(struct tl_profile *p, size_t i)
{
    return (const char **)(void *)((char *)p + texts[i].offset);
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* --- metadata ------------------------------------------------------------------------------------ */

/* An empty value takes the header away. */
static tl_rc set_meta(struct tl_profile *p, struct tl_arena *arena, struct tl_str name,
                      struct tl_str value, struct tl_error *err)
{
    size_t i = 0;
    char *key = tl_arena_cstr(arena, name);
    const char *text = tl_arena_cstr(arena, value);
    if (!key || !text) {
        return tl_error_set(err, TL_ELIMIT, "the settings do not fit the memory limit");
    }
    for (char *c = key; *c; c++) {
        *c = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
    }
    while (i < p->meta_count && strcmp(p->meta[i].name, key) != 0) {
        i++;
    }
    if (!*text) {
        if (i < p->meta_count) {
            memmove(&p->meta[i], &p->meta[i + 1], (p->meta_count - i - 1) * sizeof p->meta[0]);
            p->meta_count--;
        }
        return TL_OK;
    }
    if (i == TL_PROFILE_META_MAX) {
        return tl_error_set(err, TL_EINVAL, "more than %d headers in grpc_meta",
                            TL_PROFILE_META_MAX);
    }
    p->meta_count += i == p->meta_count;
    p->meta[i] = (struct tl_profile_meta){key, text};
    return TL_OK;
}

/* --- the file ------------------------------------------------------------------------------------ */

struct file {
    struct tl_profile *out;
    struct tl_arena *arena;
    const char *profile;
    const char *path; /* what to call the file */
    bool strict, found;
};

static const char *const switches[] = {"tls", "tls.disabled", "tls.disable_host_verification"};

/* A key that is none of ours: an error for a strict caller. Others are told in the log, since a slip of
 * the pen would make the setting vanish; newer readers may know more keys than this one. */
static tl_rc unknown(const struct file *f, struct tl_str key, bool outside, struct tl_error *err)
{
    const char *what = outside ? "does not belong to a profile" : "is not a setting of a profile";
    struct tl_near near = {.wanted = key, .too_many = key.n / 3 + 2, .fold_case = true};
    char hint[128] = "";
    for (size_t i = 0; !outside && i < TEXT_COUNT; i++) {
        tl_near_look(&near, tl_str(texts[i].key));
    }
    for (size_t i = 0; !outside && i < sizeof switches / sizeof *switches; i++) {
        tl_near_look(&near, tl_str(switches[i]));
    }
    if (outside) {
        tl_near_look(&near, TL_STR_LIT("profile"));
    }
    if (near.best.p) {
        snprintf(hint, sizeof hint, " (did you mean '%.*s'?)", TL_STR_FMT(near.best));
    }
    if (f->strict) {
        return tl_error_set(err, TL_EINVAL, "'%.*s' %s%s", TL_STR_FMT(key), what, hint);
    }
    char text[512];
    snprintf(text, sizeof text, "'%.*s' %s%s", TL_STR_FMT(key), what, hint);
    TL_LOG(TL_LOG_WARN, "config.key_ignored", TL_C("file", f->path ? f->path : "the text"),
           TL_C("cause", text));
    return TL_OK;
}

/* The key below the profile, its parts joined by dots. */
static struct tl_str key_of(const struct tl_toml_value *v, char *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 2; i < v->depth; i++) {
        n += (size_t)snprintf(out + n, cap - n, "%s%.*s", i > 2 ? "." : "", TL_STR_FMT(v->path[i]));
        if (n >= cap) {
            return (struct tl_str){0};
        }
    }
    return tl_str_n(out, n);
}

static tl_rc set_switch(enum tl_profile_switch *s, struct tl_str key, const struct tl_toml_value *v,
                        bool on_when, struct tl_error *err)
{
    if (v->kind != TL_TOML_BOOLEAN) {
        return tl_error_set(err, TL_EINVAL, "%.*s wants true or false", TL_STR_FMT(key));
    }
    *s = tl_str_eqc(v->text, "true") == on_when ? TL_SWITCH_ON : TL_SWITCH_OFF;
    return TL_OK;
}

static tl_rc set_text(struct file *f, struct tl_str key, const struct tl_toml_value *v,
                      struct tl_error *err)
{
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char **at = text_at(f->out, i);
        if (!tl_str_eqc(key, texts[i].key)) {
            continue;
        }
        if (v->kind != TL_TOML_STRING || memchr(v->text.p ? v->text.p : "", 0, v->text.n)) {
            return tl_error_set(err, TL_EINVAL, "%s wants a text", texts[i].key);
        }
        if (*at) {
            return tl_error_set(err, TL_EINVAL, "%s is there twice", texts[i].key);
        }
        *at = tl_arena_cstr(f->arena, v->text);
        return *at ? TL_OK : tl_error_set(err, TL_ELIMIT, "the settings do not fit the limit");
    }
    return unknown(f, key, false, err);
}

static tl_rc take(void *ud, const struct tl_toml_value *v, struct tl_error *err)
{
    struct file *f = ud;
    char buf[256];
    bool is_table = v->kind == TL_TOML_TABLE;
    if (is_table && v->depth == 1 && tl_str_eqc(v->path[0], "profile")) {
        return TL_OK;
    }
    if (v->depth < (is_table ? 2 : 3) || !tl_str_eqc(v->path[0], "profile")) {
        /* What the table of a setting would say its values say. */
        return is_table && !f->strict ? TL_OK : unknown(f, v->path[0], true, err);
    }
    if (!tl_str_eqc(v->path[1], f->profile)) {
        return TL_OK;
    }
    f->found = true;
    struct tl_str key = key_of(v, buf, sizeof buf);
    if (v->depth > (is_table ? 2 : 3) && tl_str_eqc(v->path[2], "tls") &&
        f->out->tls == TL_SWITCH_UNSET) {
        f->out->tls = TL_SWITCH_ON;
    }
    if (is_table) {
        return TL_OK;
    }
    if (tl_str_eqc(key, "tls")) {
        return set_switch(&f->out->tls, key, v, true, err);
    }
    if (tl_str_eqc(key, "tls.disabled")) {
        return set_switch(&f->out->tls, key, v, false, err);
    }
    if (tl_str_eqc(key, "tls.disable_host_verification")) {
        return set_switch(&f->out->disable_host_verification, key, v, true, err);
    }
    if (v->depth == 4 && tl_str_eqc(v->path[2], "grpc_meta")) {
        return v->kind == TL_TOML_STRING
                   ? set_meta(f->out, f->arena, v->path[3], v->text, err)
                   : tl_error_set(err, TL_EINVAL, "%.*s wants a text", TL_STR_FMT(key));
    }
    return set_text(f, key, v, err);
}

const char *tl_profile_file(const struct tl_profile_source *source, struct tl_arena *arena)
{
    const char *named = source->config_file, *base = variable("XDG_CONFIG_HOME"),
               *home = variable("HOME");
    if (!named && !source->disable_env) {
        named = variable("TEMPORAL_CONFIG_FILE");
    }
    return named  ? named
           : base ? tl_arena_printf(arena, "%s/temporalio/temporal.toml", base)
           : home ? tl_arena_printf(arena, "%s/.config/temporalio/temporal.toml", home)
                  : NULL;
}

/* *text is empty when there is no file and none was asked for. */
static tl_rc read_file(const struct tl_profile_source *source, const char *path,
                       struct tl_arena *arena, struct tl_str *text, struct tl_error *err)
{
    *text = (struct tl_str){0};
    tl_rc rc = path ? tl_config_read(path, arena, text, err) : TL_OK;
    return rc == TL_ENOTFOUND && !source->config_file ? TL_OK : rc;
}

/* The text of a source, its own or its file's, and what to call it; *where is NULL without a file. */
static tl_rc text_of(const struct tl_profile_source *source, struct tl_arena *arena,
                     struct tl_str *text, const char **where, struct tl_error *err)
{
    *text = source->config;
    *where = text->p ? "the text" : tl_profile_file(source, arena);
    return text->p ? TL_OK : read_file(source, *where, arena, text, err);
}

static tl_rc load_file(const struct tl_profile_source *source, struct tl_arena *arena,
                       struct tl_profile *out, struct tl_error *err)
{
    const char *path;
    const char *named = source->profile;
    struct tl_str text;
    tl_rc rc = text_of(source, arena, &text, &path, err);
    if (!named && !source->disable_env) {
        named = variable("TEMPORAL_PROFILE");
    }
    struct file f = {.out = out,
                     .arena = arena,
                     .profile = named ? named : "default",
                     .path = path,
                     .strict = source->strict};
    if (rc == TL_OK) {
        rc = tl_toml_read(text, arena, take, &f, err);
        rc = rc == TL_OK ? rc : tl_error_wrap(err, rc, "%s", path);
    }
    if (rc == TL_OK && named && !f.found) {
        rc = tl_error_set(err, TL_ENOTFOUND, "there is no profile '%s' in %s", named,
                          path ? path : "any configuration file");
    }
    return rc;
}

struct names {
    tl_profile_name_fn fn;
    void *ud;
    struct tl_str seen[TL_PROFILES_MAX];
    size_t count;
};

static tl_rc take_name(void *ud, const struct tl_toml_value *v, struct tl_error *err)
{
    struct names *n = ud;
    if (v->depth < 2 || !tl_str_eqc(v->path[0], "profile")) {
        return TL_OK;
    }
    for (size_t i = 0; i < n->count; i++) {
        if (tl_str_eq(n->seen[i], v->path[1])) {
            return TL_OK;
        }
    }
    if (n->count == TL_PROFILES_MAX) {
        return tl_error_set(err, TL_ELIMIT, "more than %d profiles", TL_PROFILES_MAX);
    }
    n->seen[n->count++] = v->path[1];
    n->fn(n->ud, v->path[1]);
    return TL_OK;
}

tl_rc tl_profile_names(const struct tl_profile_source *source, struct tl_arena *arena,
                       tl_profile_name_fn fn, void *ud, struct tl_error *err)
{
    struct names n = {.fn = fn, .ud = ud};
    const char *path;
    struct tl_str text;
    tl_rc rc = text_of(source, arena, &text, &path, err);
    if (rc == TL_OK) {
        rc = tl_toml_read(text, arena, take_name, &n, err);
        rc = rc == TL_OK ? rc : tl_error_wrap(err, rc, "%s", path);
    }
    return rc;
}

/* --- the environment ----------------------------------------------------------------------------- */

static tl_rc load_switch(const char *name, enum tl_profile_switch *s, struct tl_error *err)
{
    const char *text = variable(name);
    if (!text) {
        return TL_OK;
    }
    bool on = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    if (!on && strcmp(text, "false") != 0 && strcmp(text, "0") != 0) {
        return tl_error_set(err, TL_EINVAL, "%s wants true or false, got '%s'", name, text);
    }
    *s = on ? TL_SWITCH_ON : TL_SWITCH_OFF;
    return TL_OK;
}

static tl_rc load_env(struct tl_arena *arena, struct tl_profile *out, struct tl_error *err)
{
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char *value = variable(texts[i].variable);
        if (value) {
            *text_at(out, i) = tl_arena_cstr(arena, tl_str(value));
        }
    }
    tl_rc rc = load_switch("TEMPORAL_TLS", &out->tls, err);
    if (rc == TL_OK) {
        rc = load_switch("TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", &out->disable_host_verification,
                         err);
    }
    for (char **e = environ; rc == TL_OK && e && *e; e++) {
        const char *name = *e + sizeof META_PREFIX - 1, *equals;
        if (strncmp(*e, META_PREFIX, sizeof META_PREFIX - 1) == 0 &&
            (equals = strchr(name, '=')) != NULL && equals > name) {
            rc = set_meta(out, arena, tl_str_n(name, (size_t)(equals - name)), tl_str(equals + 1),
                          err);
        }
    }
    return rc;
}

tl_rc tl_profile_load(const struct tl_profile_source *source, struct tl_arena *arena,
                      struct tl_profile *out, struct tl_error *err)
{
    memset(out, 0, sizeof *out);
    tl_rc rc = source->disable_file ? TL_OK : load_file(source, arena, out, err);
    return rc == TL_OK && !source->disable_env ? load_env(arena, out, err) : rc;
}

bool tl_profile_wants_tls(const struct tl_profile *p)
{
    return p->tls == TL_SWITCH_ON || (p->tls == TL_SWITCH_UNSET && p->api_key);
}
