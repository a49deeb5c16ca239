/* See env_file.h. */
#include "cli/env_file.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/buf.h"
#include "config/file.h"

#define NAMES_MAX 256

struct value {
    struct value *next;
    const char *env, *key, *text; /* key NULL: only tells that the environment is there */
};

struct tl_env_file {
    struct tl_arena *arena;
    const char *path;
    struct value *first;
    bool has_more;                /* than environments */
    const char *names[NAMES_MAX]; /* of the last question, in order */
};

/* --- reading ------------------------------------------------------------------------------------- */

static tl_rc add(struct tl_env_file *f, const char *env, const char *key, const char *text,
                 struct tl_error *err)
{
    struct value *v = tl_arena_alloc(f->arena, sizeof *v), **at = &f->first;
    if (!v || !env || (key && !text)) {
        return tl_error_set(err, TL_ELIMIT, "the environments do not fit the memory limit");
    }
    while (*at) {
        at = &(*at)->next;
    }
    *v = (struct value){.env = env, .key = key, .text = text};
    *at = v;
    return TL_OK;
}

/* The text of a scalar, in the arena; NULL for another node. */
static const char *scalar(struct tl_env_file *f, const yaml_node_t *n)
{
    return n && n->type == YAML_SCALAR_NODE
               ? tl_arena_cstr(f->arena, tl_str_n(n->data.scalar.value, n->data.scalar.length))
               : NULL;
}

static tl_rc wrong(const struct tl_env_file *f, const yaml_node_t *n, const char *wanted,
                   struct tl_error *err)
{
    return tl_error_set(err, TL_EINVAL, "%s: line %zu: %s is wanted here", f->path,
                        n ? n->start_mark.line + 1 : 1, wanted);
}

static bool is_empty(const yaml_node_t *n)
{
    return n->type == YAML_SCALAR_NODE && n->data.scalar.length == 0;
}

static tl_rc read_environment(struct tl_env_file *f, yaml_document_t *d, const char *env,
                              const yaml_node_t *values, struct tl_error *err)
{
    tl_rc rc = add(f, env, NULL, NULL, err);
    if (rc != TL_OK || is_empty(values)) {
        return rc;
    }
    if (values->type != YAML_MAPPING_NODE) {
        return wrong(f, values, "OPTION: VALUE", err);
    }
    for (const yaml_node_pair_t *p = values->data.mapping.pairs.start;
         rc == TL_OK && p < values->data.mapping.pairs.top; p++) {
        const yaml_node_t *value = yaml_document_get_node(d, p->value);
        const char *key = scalar(f, yaml_document_get_node(d, p->key)), *text = scalar(f, value);
        rc = key && text ? add(f, env, key, text, err) : wrong(f, value, "a text", err);
    }
    return rc;
}

static tl_rc read_document(struct tl_env_file *f, yaml_document_t *d, struct tl_error *err)
{
    const yaml_node_t *root = yaml_document_get_root_node(d), *all = NULL;
    if (!root || is_empty(root)) {
        return TL_OK;
    }
    if (root->type != YAML_MAPPING_NODE) {
        return wrong(f, root, "env:", err);
    }
    for (const yaml_node_pair_t *p = root->data.mapping.pairs.start;
         p < root->data.mapping.pairs.top; p++) {
        const char *key = scalar(f, yaml_document_get_node(d, p->key));
        if (key && strcmp(key, "env") == 0) {
            all = yaml_document_get_node(d, p->value);
        } else {
            f->has_more = true;
        }
    }
    if (!all || is_empty(all)) {
        return TL_OK;
    }
    if (all->type != YAML_MAPPING_NODE) {
        return wrong(f, all, "NAME:", err);
    }
    tl_rc rc = TL_OK;
    for (const yaml_node_pair_t *p = all->data.mapping.pairs.start;
         rc == TL_OK && p < all->data.mapping.pairs.top; p++) {
        const yaml_node_t *name = yaml_document_get_node(d, p->key);
        const char *env = scalar(f, name);
        rc = env ? read_environment(f, d, env, yaml_document_get_node(d, p->value), err)
                 : wrong(f, name, "a name", err);
    }
    return rc;
}

static tl_rc read_yaml(struct tl_env_file *f, struct tl_str text, struct tl_error *err)
{
    yaml_parser_t parser;
    yaml_document_t document;
    if (!yaml_parser_initialize(&parser)) {
        return tl_error_set(err, TL_ELIMIT, "%s does not fit into memory", f->path);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    tl_rc rc;
    if (yaml_parser_load(&parser, &document)) {
        rc = read_document(f, &document, err);
        yaml_document_delete(&document);
    } else {
        rc = tl_error_set(err, TL_EINVAL, "%s: line %zu: %s", f->path, parser.problem_mark.line + 1,
                          parser.problem ? parser.problem : "this is no YAML");
    }
    yaml_parser_delete(&parser);
    return rc;
}

tl_rc tl_env_file_open(const char *path, struct tl_arena *arena, struct tl_env_file **out,
                       struct tl_error *err)
{
    struct tl_env_file *f = tl_arena_alloc(arena, sizeof *f);
    const char *home = getenv("HOME");
    struct tl_str text = {0};
    if (!f) {
        return tl_error_set(err, TL_ELIMIT, "the environments do not fit the memory limit");
    }
    *f = (struct tl_env_file){.arena = arena, .path = path};
    if (!path && home && *home) {
        f->path = tl_arena_printf(arena, "%s/.config/temporalio/temporal.yaml", home);
    }
    *out = f;
    tl_rc rc = f->path ? tl_config_read(f->path, arena, &text, err) : TL_OK;
    if (rc == TL_ENOTFOUND) {
        return TL_OK;
    }
    return rc == TL_OK && text.n ? read_yaml(f, text, err) : rc;
}

/* --- writing ------------------------------------------------------------------------------------- */

/* Between quotes, where nothing is read as another type. */
static void put_text(struct tl_buf *b, const char *text)
{
    tl_buf_putc(b, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\') {
            tl_buf_putc(b, '\\');
            tl_buf_putc(b, (char)*p);
        } else if (*p == '\n') {
            tl_buf_puts(b, "\\n");
        } else if (*p < 0x20 || *p == 0x7f) {
            tl_buf_printf(b, "\\x%02x", *p);
        } else {
            tl_buf_putc(b, (char)*p);
        }
    }
    tl_buf_putc(b, '"');
}

/* Names of options stand as they are; a name that YAML could read as something else is quoted. */
static void put_key(struct tl_buf *b, const char *key)
{
    static const char *const words[] = {"y",   "n",    "yes",  "no",   "on",
                                        "off", "true", "null", "false"};
    bool plain =
        (*key >= 'a' && *key <= 'z') && !key[strspn(key, "abcdefghijklmnopqrstuvwxyz-_0123456789")];
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        plain = plain && strcmp(words[i], key) != 0;
    }
    if (plain) {
        tl_buf_puts(b, key);
    } else {
        put_text(b, key);
    }
    tl_buf_putc(b, ':');
}

tl_rc tl_env_file_save(const struct tl_env_file *f, struct tl_error *err)
{
    struct tl_buf b;
    if (!f->path) {
        return tl_error_set(err, TL_EINVAL, "there is no home folder: say --env-file");
    }
    if (f->has_more) {
        return tl_error_set(err, TL_EINVAL,
                            "%s has more than 'env:', which would be lost: change it by hand",
                            f->path);
    }
    tl_buf_init(&b, TL_CONFIG_FILE_BYTES_MAX);
    tl_buf_puts(&b, f->first ? "env:\n" : "env: {}\n");
    for (const struct value *e = f->first; e; e = e->next) {
        if (e->key) {
            continue;
        }
        bool empty = true;
        tl_buf_puts(&b, "    ");
        put_key(&b, e->env);
        for (const struct value *v = f->first; v; v = v->next) {
            if (v->key && strcmp(v->env, e->env) == 0) {
                tl_buf_puts(&b, "\n        ");
                put_key(&b, v->key);
                tl_buf_putc(&b, ' ');
                put_text(&b, v->text);
                empty = false;
            }
        }
        tl_buf_puts(&b, empty ? " {}\n" : "\n");
    }
    tl_rc rc = tl_buf_failed(&b) ? tl_error_set(err, TL_ELIMIT, "the file would be too large")
                                 : tl_config_replace(f->path, tl_buf_str(&b), err);
    tl_buf_deinit(&b);
    return rc;
}

/* --- questions and changes ----------------------------------------------------------------------- */

static struct value *find(const struct tl_env_file *f, const char *env, const char *key)
{
    struct value *v = f->first;
    while (v &&
           (strcmp(v->env, env) != 0 || !v->key != !key || (key && strcmp(v->key, key) != 0))) {
        v = v->next;
    }
    return v;
}

bool tl_env_file_has(const struct tl_env_file *f, const char *env)
{
    return find(f, env, NULL) != NULL;
}

const char *tl_env_file_get(const struct tl_env_file *f, const char *env, const char *key)
{
    const struct value *v = find(f, env, key);
    return v ? v->text : NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Environments, or with env its keys. */
static const char *nth(struct tl_env_file *f, const char *env, size_t i)
{
    size_t n = 0;
    for (const struct value *v = f->first; v && n < NAMES_MAX; v = v->next) {
        if (env ? v->key && strcmp(v->env, env) == 0 : !v->key) {
            f->names[n++] = env ? v->key : v->env;
        }
    }
    qsort(f->names, n, sizeof f->names[0], by_text);
    return i < n ? f->names[i] : NULL;
}

const char *tl_env_file_name(struct tl_env_file *f, size_t i)
{
    return nth(f, NULL, i);
}

const char *tl_env_file_key(struct tl_env_file *f, const char *env, size_t i)
{
    return nth(f, env, i);
}

tl_rc tl_env_file_set(struct tl_env_file *f, const char *env, const char *key, const char *value,
                      struct tl_error *err)
{
    struct value *v = find(f, env, key);
    if (v) {
        v->text = value;
        return TL_OK;
    }
    tl_rc rc = find(f, env, NULL) ? TL_OK : add(f, env, NULL, NULL, err);
    return rc == TL_OK ? add(f, env, key, value, err) : rc;
}

bool tl_env_file_remove(struct tl_env_file *f, const char *env, const char *key)
{
    bool found = false;
    for (struct value **at = &f->first; *at;) {
        const struct value *v = *at;
        if (strcmp(v->env, env) == 0 && (!key || (v->key && strcmp(v->key, key) == 0))) {
            *at = v->next;
            found = true;
        } else {
            at = &(*at)->next;
        }
    }
    return found;
}
