/* Commands config get, set, delete, list and delete-profile: the file of connection profiles. */
#include <string.h>

#include "base/world.h"
#include "cli/cli.h"
#include "cli/print.h"
#include "config/profile_file.h"

#define ARENA_BYTES_MAX ((size_t)64 << 20)

int tl_cmd_config_delete(struct tl_cli *cli);
int tl_cmd_config_delete_profile(struct tl_cli *cli);
int tl_cmd_config_get(struct tl_cli *cli);
int tl_cmd_config_list(struct tl_cli *cli);
int tl_cmd_config_set(struct tl_cli *cli);

struct config {
    struct tl_cli *cli;
    struct tl_arena arena;
    struct tl_print print;
    struct tl_profile_file *file;
    const char *profile;
};

static int run(struct tl_cli *cli, int (*body)(struct config *c))
{
    struct config c = {.cli = cli};
    struct tl_profile_source source = {.config_file = tl_cli_text(cli, "config-file")};
    struct tl_error err;
    const char *named = tl_cli_text(cli, "profile");
    int code = tl_cli_log_options(cli);
    if (code) {
        return code;
    }
    tl_arena_init(&c.arena, ARENA_BYTES_MAX);
    tl_print_init(&c.print, cli, tl_world_wall_ns(tl_world_real()));
    c.profile = named ? named : "default";
    const char *path = tl_profile_file(&source, &c.arena);
    if (!path) {
        code = tl_cli_fail(1, "there is no home folder: say --config-file");
    } else if (tl_profile_file_open(path, &c.arena, &c.file, &err) != TL_OK) {
        code = tl_cli_fail(1, "%s", err.message);
    } else {
        code = body(&c);
    }
    tl_print_deinit(&c.print);
    tl_arena_deinit(&c.arena);
    return code;
}

static int save(struct config *c)
{
    struct tl_error err;
    return tl_profile_file_save(c->file, &err) == TL_OK ? 0 : tl_cli_fail(1, "%s", err.message);
}

static int known_profile(struct config *c)
{
    return tl_profile_file_has(c->file, c->profile)
               ? 0
               : tl_cli_fail(1, "profile \"%s\" not found", c->profile);
}

static int known_property(const char *property)
{
    if (tl_profile_prop_kind(property) != TL_PROP_UNKNOWN) {
        return 0;
    }
    const char *near = tl_profile_prop_near(property);
    return tl_cli_fail(1, "unknown property \"%s\"%s%s%s", property,
                       near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* --- get ----------------------------------------------------------------------------------------- */

static const char *value_of(struct config *c, const char *property)
{
    const char *text = tl_profile_file_get(c->file, c->profile, property);
    return text ? text : tl_profile_prop_kind(property) == TL_PROP_SWITCH ? "false" : "";
}

static void write_value(struct config *c, struct tl_jw *w, const char *property)
{
    const char *text = value_of(c, property);
    if (tl_profile_prop_kind(property) == TL_PROP_SWITCH) {
        tl_jw_bool(w, strcmp(text, "true") == 0);
    } else {
        tl_jw_string(w, tl_str(text));
    }
}

/* The properties as objects inside each other; they come in order, those of a table together. */
static void write_properties(struct config *c, struct tl_jw *w)
{
    const char *property;
    struct tl_str table = {0};
    tl_jw_object(w);
    for (size_t i = 0; (property = tl_profile_file_prop(c->file, c->profile, i)) != NULL; i++) {
        const char *dot = strchr(property, '.');
        struct tl_str in = dot ? tl_str_n(property, (size_t)(dot - property)) : (struct tl_str){0};
        bool opens = strcmp(property, "tls") == 0; /* told by the object */
        in = opens ? tl_str(property) : in;
        if (!tl_str_eq(in, table)) {
            if (table.n) {
                tl_jw_object_end(w);
            }
            if (in.n) {
                tl_jw_name(w, in);
                tl_jw_object(w);
            }
            table = in;
        }
        if (!opens) {
            tl_jw_name(w, tl_str(dot ? dot + 1 : property));
            write_value(c, w, property);
        }
    }
    if (table.n) {
        tl_jw_object_end(w);
    }
    tl_jw_object_end(w);
}

static int get(struct config *c)
{
    const char *property = tl_cli_text(c->cli, "prop"), *cells[512];
    const struct tl_print_column columns[] = {{.name = "Property"}, {.name = "Value"}};
    struct tl_jw w;
    struct tl_error err;
    size_t n = 0;
    int code = known_profile(c);
    if (code || (property && (code = known_property(property)) != 0)) {
        return code;
    }
    if (tl_print_is_json(&c->print)) {
        tl_print_json_begin(&c->print, &w);
        if (property) {
            tl_jw_object(&w);
            tl_jw_name(&w, TL_STR_LIT("property"));
            tl_jw_string(&w, tl_str(property));
            tl_jw_name(&w, TL_STR_LIT("value"));
            write_value(c, &w, property);
            tl_jw_object_end(&w);
        } else {
            write_properties(c, &w);
        }
        return tl_print_json_end(&c->print, &w, &err) == TL_OK ? 0
                                                               : tl_cli_fail(1, "%s", err.message);
    }
    for (size_t i = 0; n + 2 <= sizeof cells / sizeof cells[0]; i++) {
        const char *name = !property ? tl_profile_file_prop(c->file, c->profile, i)
                           : i == 0  ? property
                                     : NULL;
        if (!name) {
            break;
        }
        cells[n++] = name;
        cells[n++] = value_of(c, name);
    }
    tl_print_table(&c->print, columns, 2, cells, n / 2, true, 1);
    return 0;
}

int tl_cmd_config_get(struct tl_cli *cli)
{
    return run(cli, get);
}

/* --- list ---------------------------------------------------------------------------------------- */

static int list(struct config *c)
{
    const struct tl_print_column column = {.name = "Name"};
    const char *cells[256];
    struct tl_error err;
    size_t n = 0;
    while (n < sizeof cells / sizeof cells[0] &&
           (cells[n] = tl_profile_file_name(c->file, n)) != NULL) {
        n++;
    }
    if (!tl_print_is_json(&c->print)) {
        tl_print_table(&c->print, &column, 1, cells, n, true, 1);
        return 0;
    }
    tl_rc rc = TL_OK;
    tl_print_list_begin(&c->print);
    for (size_t i = 0; rc == TL_OK && i < n; i++) {
        const struct tl_print_row row = {.name = "name", .text = cells[i]};
        rc = tl_print_fields(&c->print, &row, 1, &err);
    }
    tl_print_list_end(&c->print);
    return rc == TL_OK ? 0 : tl_cli_fail(1, "%s", err.message);
}

int tl_cmd_config_list(struct tl_cli *cli)
{
    return run(cli, list);
}

/* --- changes ------------------------------------------------------------------------------------- */

static int set(struct config *c)
{
    const char *property = tl_cli_text(c->cli, "prop");
    struct tl_error err;
    int code = known_property(property);
    if (code) {
        return code;
    }
    tl_rc rc =
        tl_profile_file_set(c->file, c->profile, property, tl_cli_text(c->cli, "value"), &err);
    return rc == TL_OK ? save(c) : tl_cli_fail(1, "%s", err.message);
}

int tl_cmd_config_set(struct tl_cli *cli)
{
    return run(cli, set);
}

static int unset(struct config *c)
{
    const char *property = tl_cli_text(c->cli, "prop");
    int code = known_profile(c);
    code = code ? code : known_property(property);
    if (code) {
        return code;
    }
    return tl_profile_file_unset(c->file, c->profile, property)
               ? save(c)
               : tl_cli_fail(1, "\"%s\" is not set in profile \"%s\"", property, c->profile);
}

int tl_cmd_config_delete(struct tl_cli *cli)
{
    return run(cli, unset);
}

static int remove_profile(struct config *c)
{
    int code = known_profile(c);
    if (code) {
        return code;
    }
    tl_profile_file_remove(c->file, c->profile);
    return save(c);
}

int tl_cmd_config_delete_profile(struct tl_cli *cli)
{
    /* Not the default one by forgetting its name. */
    return tl_cli_given(cli, "profile")
               ? run(cli, remove_profile)
               : tl_cli_fail(2, "to delete a whole profile, name it: --profile");
}
