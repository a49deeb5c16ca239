/* Commands env get, set, delete and list: the older file of named environments. */
#include <string.h>

#include "base/world.h"
#include "cli/cli.h"
#include "cli/env_file.h"
#include "cli/print.h"

#define ARENA_BYTES_MAX ((size_t)64 << 20)

int tl_cmd_env_delete(struct tl_cli *cli);
int tl_cmd_env_get(struct tl_cli *cli);
int tl_cmd_env_list(struct tl_cli *cli);
int tl_cmd_env_set(struct tl_cli *cli);

struct env {
    struct tl_cli *cli;
    struct tl_arena arena;
    struct tl_print print;
    struct tl_env_file *file;
    const char *name, *key, *value; /* key, value: NULL when they were not said */
};

/* ENV.KEY or ENV as an argument, the older spelling of --env and --key. */
static int take_args(struct env *e, bool has_value)
{
    int n;
    char **args = tl_cli_args(e->cli, &n);
    const char *dot = n ? strchr(args[0], '.') : NULL;
    if (n == 0) {
        return 0;
    }
    if (n > (has_value ? 2 : 1)) {
        return tl_cli_fail(2, "unexpected argument '%s'", args[n - 1]);
    }
    if (e->key || e->value || tl_cli_given(e->cli, "env")) {
        return tl_cli_fail(2, "'%s' is given beside --env, --key or --value: use one of both forms",
                           args[0]);
    }
    e->name = dot ? tl_arena_cstr(&e->arena, tl_str_n(args[0], (size_t)(dot - args[0]))) : args[0];
    e->key = dot ? dot + 1 : NULL;
    e->value = n > 1 ? args[1] : NULL;
    return e->name && *e->name ? 0 : tl_cli_fail(2, "'%s' names no environment", args[0]);
}

static int run(struct tl_cli *cli, bool has_key, bool has_value, int (*body)(struct env *e))
{
    struct env e = {.cli = cli, .name = tl_cli_text(cli, "env")};
    struct tl_error err;
    int code = tl_cli_log_options(cli);
    if (code) {
        return code;
    }
    tl_arena_init(&e.arena, ARENA_BYTES_MAX);
    tl_print_init(&e.print, cli, tl_world_wall_ns(tl_world_real()));
    if (has_key) {
        e.key = tl_cli_text(cli, "key");
        e.value = has_value ? tl_cli_text(cli, "value") : NULL;
        code = take_args(&e, has_value);
    }
    if (code == 0 && e.key && strchr(e.key, '.')) {
        code = tl_cli_fail(2, "the name of an option has no dot: '%s'", e.key);
    } else if (code == 0 &&
               tl_env_file_open(tl_cli_text(cli, "env-file"), &e.arena, &e.file, &err) != TL_OK) {
        code = tl_cli_fail(1, "%s", err.message);
    }
    code = code ? code : body(&e);
    tl_print_deinit(&e.print);
    tl_arena_deinit(&e.arena);
    return code;
}

static int save(struct env *e)
{
    struct tl_error err;
    return tl_env_file_save(e->file, &err) == TL_OK ? 0 : tl_cli_fail(1, "%s", err.message);
}

static int missing(const struct env *e)
{
    return e->key && tl_env_file_has(e->file, e->name)
               ? tl_cli_fail(1, "'%s' is not set in environment \"%s\"", e->key, e->name)
               : tl_cli_fail(1, "environment \"%s\" not found", e->name);
}

static int get(struct env *e)
{
    const struct tl_print_column columns[] = {{.name = "Property"}, {.name = "Value"}};
    const char *cells[512], *key;
    struct tl_error err;
    tl_rc rc = TL_OK;
    size_t n = 0;
    if (!tl_env_file_has(e->file, e->name) ||
        (e->key && !tl_env_file_get(e->file, e->name, e->key))) {
        return missing(e);
    }
    for (size_t i = 0; n + 2 <= sizeof cells / sizeof cells[0] &&
                       (key = tl_env_file_key(e->file, e->name, i)) != NULL;
         i++) {
        if (!e->key || strcmp(e->key, key) == 0) {
            cells[n++] = key;
            cells[n++] = tl_env_file_get(e->file, e->name, key);
        }
    }
    if (!tl_print_is_json(&e->print)) {
        tl_print_table(&e->print, columns, 2, cells, n / 2, true, 1);
        return 0;
    }
    tl_print_list_begin(&e->print);
    for (size_t i = 0; rc == TL_OK && i < n; i += 2) {
        const struct tl_print_row rows[] = {{.name = "property", .text = cells[i]},
                                            {.name = "value", .text = cells[i + 1]}};
        rc = tl_print_fields(&e->print, rows, 2, &err);
    }
    tl_print_list_end(&e->print);
    return rc == TL_OK ? 0 : tl_cli_fail(1, "%s", err.message);
}

int tl_cmd_env_get(struct tl_cli *cli)
{
    return run(cli, true, false, get);
}

static int list(struct env *e)
{
    const struct tl_print_column column = {.name = "Name"};
    const char *cells[256];
    struct tl_error err;
    tl_rc rc = TL_OK;
    size_t n = 0;
    while (n < sizeof cells / sizeof cells[0] &&
           (cells[n] = tl_env_file_name(e->file, n)) != NULL) {
        n++;
    }
    if (!tl_print_is_json(&e->print)) {
        tl_print_table(&e->print, &column, 1, cells, n, true, 1);
        return 0;
    }
    tl_print_list_begin(&e->print);
    for (size_t i = 0; rc == TL_OK && i < n; i++) {
        const struct tl_print_row row = {.name = "name", .text = cells[i]};
        rc = tl_print_fields(&e->print, &row, 1, &err);
    }
    tl_print_list_end(&e->print);
    return rc == TL_OK ? 0 : tl_cli_fail(1, "%s", err.message);
}

int tl_cmd_env_list(struct tl_cli *cli)
{
    return run(cli, false, false, list);
}

static int set(struct env *e)
{
    struct tl_error err;
    if (!e->key || !*e->key) {
        return tl_cli_fail(2, "env set: --key is required");
    }
    if (!e->value) {
        return tl_cli_fail(2, "env set: --value is required");
    }
    return tl_env_file_set(e->file, e->name, e->key, e->value, &err) == TL_OK
               ? save(e)
               : tl_cli_fail(1, "%s", err.message);
}

int tl_cmd_env_set(struct tl_cli *cli)
{
    return run(cli, true, true, set);
}

static int delete (struct env *e)
{
    return tl_env_file_remove(e->file, e->name, e->key) ? save(e) : missing(e);
}

int tl_cmd_env_delete(struct tl_cli *cli)
{
    return run(cli, true, false, delete);
}
