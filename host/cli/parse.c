/* The parser and the help of the command line. See cli.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/duration.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/near.h"
#include "cli/cli.h"
#include "cli/cli_profile.h"
#include "cli/env_file.h"
#include "luahost/lua_process.h"

#define VALUES_MAX 64
#define OPTIONS_MAX 96
#define ARENA_BYTES_MAX ((size_t)32 << 20)
#define VERSION "0.1.0"

struct value {
    const char *texts[VALUES_MAX + 1];
    size_t count;
    bool given; /* on the command line */
};

struct tl_cli {
    const struct tl_cli_command *command;
    struct value values[OPTIONS_MAX];
    char **args;
    int arg_count;
    struct tl_cli_profile *profile; /* NULL: the command leads to no server */
    struct tl_env_file *env_file;   /* as above; in `arena` */
    const char *env;
    struct tl_arena arena;
};

int tl_cli_fail(int exit_code, const char *fmt, ...)
{
    va_list ap;
    fputs("temporal-lua: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return exit_code;
}

/* --- help ------------------------------------------------------------------------------------- */

static void print_option(FILE *to, const struct tl_cli_option *o)
{
    static const char *const kinds[] = {"TEXT", "NUMBER", "DURATION", NULL, "TEXT..."};
    char left[64];
    snprintf(left, sizeof left, "%s%s%s--%s%s%s", o->short_name ? "-" : "  ",
             o->short_name ? o->short_name : "", o->short_name ? ", " : "  ", o->name,
             kinds[o->kind] ? " " : "", kinds[o->kind] ? kinds[o->kind] : "");
    fprintf(to, "  %-34s %s", left, o->help);
    if (o->default_text) {
        fprintf(to, " (default: %s)", o->default_text);
    }
    if (o->env) {
        fprintf(to, " [%s]", o->env);
    }
    if (o->required) {
        fputs(" (required)", to);
    }
    fputc('\n', to);
}

static void print_command_help(FILE *to, const struct tl_cli_command *c)
{
    fprintf(to, "%s.\n\nUsage: temporal-lua %s [options]%s%s\n\nOptions:\n", c->summary, c->path,
            c->args ? " " : "", c->args ? c->args : "");
    for (const struct tl_cli_option *o = c->options; o->name; o++) {
        print_option(to, o);
    }
}

/* Whether path begins with these words. */
static bool in_group(const char *path, char **words, int count)
{
    for (int i = 0; i < count; i++) {
        size_t n = strlen(words[i]);
        if (strncmp(path, words[i], n) != 0 || path[n] != ' ') {
            return false;
        }
        path += n + 1;
    }
    return true;
}

/* The commands that begin with these words; returns how many there are. */
static int print_help(FILE *to, char **words, int count)
{
    int found = 0;
    for (const struct tl_cli_command *c = tl_cli_commands; c->path; c++) {
        if (!in_group(c->path, words, count)) {
            continue;
        }
        if (found++ == 0) {
            fputs("Durable workflows in Lua.\n\nUsage: temporal-lua COMMAND [options]\n\n"
                  "Commands:\n",
                  to);
        }
        fprintf(to, "  %-28s %s\n", c->path, c->summary);
    }
    if (found) {
        fputs("\ntemporal-lua COMMAND --help tells the options of a command.\n", to);
    }
    return found;
}

/* --- near matches ----------------------------------------------------------------------------- */

static const char *near_option(const struct tl_cli_command *c, const char *name)
{
    struct tl_near near = {.wanted = tl_str(name), .too_many = 3};
    for (const struct tl_cli_option *o = c->options; o->name; o++) {
        tl_near_look(&near, tl_str(o->name));
    }
    return near.best.p;
}

/* --- parsing ---------------------------------------------------------------------------------- */

static size_t option_index(const struct tl_cli_command *c, const char *name, size_t n,
                           bool is_short)
{
    for (size_t i = 0; c->options[i].name; i++) {
        const struct tl_cli_option *o = &c->options[i];
        const char *known[] = {is_short ? o->short_name : o->name, is_short ? NULL : o->alias};
        for (int k = 0; k < 2; k++) {
            if (known[k] && strlen(known[k]) == n && strncmp(known[k], name, n) == 0) {
                return i;
            }
        }
    }
    return SIZE_MAX;
}

/* The choice that text spells in any case, as the table has it; NULL after an error. */
static const char *choose(const struct tl_cli_option *o, const char *text)
{
    for (const char *const *c = o->choices; *c; c++) {
        if (strcasecmp(*c, text) == 0) {
            return *c;
        }
    }
    fprintf(stderr, "temporal-lua: --%s wants ", o->name);
    for (size_t i = 0; o->choices[i]; i++) {
        fprintf(stderr, "%s%s", i == 0 ? "" : o->choices[i + 1] ? ", " : " or ", o->choices[i]);
    }
    fprintf(stderr, ", got '%s'\n", text);
    return NULL;
}

static int check_value(const struct tl_cli_option *o, const char *text)
{
    struct tl_error err;
    int64_t ns;
    char *end;
    if (o->kind == TL_CLI_INTEGER) {
        errno = 0;
        (void)strtoll(text, &end, 10);
        if (!*text || *end || errno) {
            return tl_cli_fail(2, "--%s wants a number, got '%s'", o->name, text);
        }
    } else if (o->kind == TL_CLI_DURATION && tl_duration_parse(tl_str(text), &ns, &err) != TL_OK) {
        return tl_cli_fail(2, "--%s: %s", o->name, err.message);
    } else if (o->kind == TL_CLI_BOOLEAN && strcmp(text, "true") != 0 &&
               strcmp(text, "false") != 0 && strcmp(text, "1") != 0 && strcmp(text, "0") != 0) {
        return tl_cli_fail(2, "--%s wants true or false, got '%s'", o->name, text);
    } else if (o->pair && (*text == '=' || !strchr(text, '='))) {
        return tl_cli_fail(2, "--%s wants KEY=VALUE, got '%s'", o->name, text);
    }
    return 0;
}

static int add_value(struct tl_cli *cli, size_t index, const char *text)
{
    const struct tl_cli_option *o = &cli->command->options[index];
    struct value *v = &cli->values[index];
    if (v->count > 0 && o->kind != TL_CLI_STRINGS) {
        return tl_cli_fail(2, "--%s was given twice", o->name);
    }
    if (v->count == VALUES_MAX) {
        return tl_cli_fail(2, "--%s: more than %d values", o->name, VALUES_MAX);
    }
    if (o->choices && !(text = choose(o, text))) {
        return 2;
    }
    v->texts[v->count++] = text;
    return check_value(o, text);
}

static int parse_option(struct tl_cli *cli, int argc, char **argv, int *i)
{
    const char *word = argv[*i];
    bool is_short = word[1] != '-';
    const char *name = word + (is_short ? 1 : 2), *equals = strchr(name, '=');
    size_t n = is_short ? 1 : equals ? (size_t)(equals - name) : strlen(name);
    size_t index = option_index(cli->command, name, n, is_short);
    if (index == SIZE_MAX) {
        const char *near = near_option(cli->command, name);
        return tl_cli_fail(2, "%s: unknown option '%s'%s%s%s", cli->command->path, word,
                           near ? ", did you mean '--" : "", near ? near : "", near ? "'?" : "");
    }
    cli->values[index].given = true;
    const char *joined = is_short && name[1] ? name + 1 + (name[1] == '=') : NULL;
    if (joined && (name[1] == '=' || cli->command->options[index].kind != TL_CLI_BOOLEAN)) {
        return add_value(cli, index, joined);
    }
    if (joined) {
        return tl_cli_fail(2, "%s: unknown option '%s'", cli->command->path, word);
    }
    if (cli->command->options[index].kind == TL_CLI_BOOLEAN) {
        return add_value(cli, index, equals ? equals + 1 : "true");
    }
    if (equals) {
        return add_value(cli, index, equals + 1);
    }
    if (*i + 1 >= argc) {
        return tl_cli_fail(2, "%s: option '%s' wants a value", cli->command->path, word);
    }
    return add_value(cli, index, argv[++*i]);
}

/* The text of an option that stood on the command line, or of its variable. */
static const char *early_text(const struct tl_cli *cli, const char *name)
{
    size_t i = option_index(cli->command, name, strlen(name), false);
    if (i == SIZE_MAX) {
        return NULL;
    }
    const char *env = cli->command->options[i].env, *text = env ? getenv(env) : NULL;
    return cli->values[i].count ? cli->values[i].texts[0] : text && *text ? text : NULL;
}

static bool early_flag(const struct tl_cli *cli, const char *name)
{
    const char *text = early_text(cli, name);
    return text && (strcmp(text, "true") == 0 || strcmp(text, "1") == 0);
}

static int open_profile(struct tl_cli *cli)
{
    struct tl_error err;
    struct tl_profile_source source = {
        .config_file = early_text(cli, "config-file"),
        .profile = early_text(cli, "profile"),
        .disable_file = early_flag(cli, "disable-config-file"),
        .disable_env = early_flag(cli, "disable-config-env"),
    };
    if (option_index(cli->command, "address", 7, false) == SIZE_MAX) {
        return 0; /* it leads to no server */
    }
    tl_rc rc = tl_cli_profile_open(&cli->profile, &source, &err);
    return rc == TL_OK ? 0 : tl_cli_fail(1, "%s", err.message);
}

/* The environment named on the command line must be there; the default one need not. */
static int open_env_file(struct tl_cli *cli)
{
    struct tl_error err;
    const char *named = early_text(cli, "env");
    if (!cli->profile || option_index(cli->command, "env-file", 8, false) == SIZE_MAX) {
        return 0;
    }
    cli->env = named ? named : TL_ENV_DEFAULT;
    if (tl_env_file_open(early_text(cli, "env-file"), &cli->arena, &cli->env_file, &err) != TL_OK) {
        return tl_cli_fail(1, "%s", err.message);
    }
    return strcmp(cli->env, TL_ENV_DEFAULT) == 0 || tl_env_file_has(cli->env_file, cli->env)
               ? 0
               : tl_cli_fail(1, "environment \"%s\" not found", cli->env);
}

/* Whether a header of that name stood on the command line. */
static bool meta_given(const struct value *v, size_t given, const char *header)
{
    size_t n = strcspn(header, "=");
    for (size_t i = 0; i < given; i++) {
        if (strcspn(v->texts[i], "=") == n && strncasecmp(v->texts[i], header, n) == 0) {
            return true;
        }
    }
    return false;
}

static int add_profile_meta(struct tl_cli *cli)
{
    size_t index = option_index(cli->command, "grpc-meta", 9, false);
    size_t given = index == SIZE_MAX ? 0 : cli->values[index].count;
    const char *header;
    int rc = 0;
    for (size_t i = 0; rc == 0 && cli->profile && index != SIZE_MAX &&
                       (header = tl_cli_profile_meta(cli->profile, i)) != NULL;
         i++) {
        if (!meta_given(&cli->values[index], given, header)) {
            rc = add_value(cli, index, header);
        }
    }
    return rc;
}

/* What is said about an option elsewhere than on the command line, before the table's default: the file of
 * environments, its variable, the configuration file. */
static const char *outside_text(const struct tl_cli *cli, const struct tl_cli_option *o)
{
    bool settled = cli->profile && tl_cli_profile_knows(o->name);
    const char *text = cli->env_file ? tl_env_file_get(cli->env_file, cli->env, o->name) : NULL;
    if (text && *text) {
        return text;
    }
    text = o->env && !settled ? getenv(o->env) : NULL;
    if (settled) {
        text = tl_cli_profile_text(cli->profile, o->name); /* with the environment in it */
    }
    return text && *text ? text : NULL;
}

/* Values that were not given come from the environment, then from the table. */
static int complete(struct tl_cli *cli)
{
    for (size_t i = 0; cli->command->options[i].name; i++) {
        const struct tl_cli_option *o = &cli->command->options[i];
        const char *text = outside_text(cli, o);
        int rc = 0;
        TL_ASSERT(i < OPTIONS_MAX);
        if (cli->values[i].count > 0) {
            continue;
        }
        if (text) {
            rc = add_value(cli, i, text);
        } else if (o->default_text) {
            rc = add_value(cli, i, o->default_text);
        } else if (o->required) {
            rc = tl_cli_fail(2, "%s: --%s is required", cli->command->path, o->name);
        }
        if (rc) {
            return rc;
        }
    }
    return 0;
}

/* A script's own options belong to the script: for commands with a SCRIPT, parsing of options ends at
 * the first word that is none. */
static int parse(struct tl_cli *cli, int argc, char **argv)
{
    const char *wanted = cli->command->args;
    bool script_args = wanted && *wanted != '[' && strchr(wanted, '[');
    int i = 0;
    cli->args = TL_NEW_ARRAY(char *, (size_t)argc + 1);
    for (; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_command_help(stdout, cli->command);
            return -1;
        }
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (argv[i][0] == '-' && argv[i][1]) {
            int rc = parse_option(cli, argc, argv, &i);
            if (rc) {
                return rc;
            }
        } else if (script_args) {
            break;
        } else {
            cli->args[cli->arg_count++] = argv[i];
        }
    }
    while (i < argc) {
        cli->args[cli->arg_count++] = argv[i++];
    }
    int most = !wanted ? 0 : strstr(wanted, "...") ? argc : 1;
    if (cli->arg_count > most) {
        return tl_cli_fail(2, "%s: unexpected argument '%s'", cli->command->path, cli->args[most]);
    }
    if (cli->arg_count == 0 && wanted && *wanted != '[') {
        return tl_cli_fail(2, "%s: %s is missing", cli->command->path, wanted);
    }
    int rc = open_profile(cli);
    rc = rc ? rc : open_env_file(cli);
    rc = rc ? rc : complete(cli);
    return rc ? rc : add_profile_meta(cli);
}

/* The longest path that the first words spell; *used tells how many words. */
static const struct tl_cli_command *find_command(int argc, char **argv, int *used)
{
    const struct tl_cli_command *best = NULL;
    *used = 0;
    for (const struct tl_cli_command *c = tl_cli_commands; c->path; c++) {
        const char *p = c->path;
        int words = 0;
        while (*p && words < argc) {
            size_t n = strcspn(p, " ");
            if (strlen(argv[words]) != n || strncmp(argv[words], p, n) != 0) {
                break;
            }
            words++;
            p += n + (p[n] == ' ');
        }
        if (!*p && words > *used) {
            best = c;
            *used = words;
        }
    }
    return best;
}

/* "worker main.lua" is "worker run main.lua": a script or an option where the second word of a command
 * would be. NULL: nothing of the kind. */
static const struct tl_cli_command *find_short_form(int argc, char **argv, int *used)
{
    static char *const full[] = {(char *)(uintptr_t) "worker", (char *)(uintptr_t) "run"};
    if (argc < 2 || strcmp(argv[0], "worker") != 0) {
        return NULL;
    }
    struct tl_str second = tl_str(argv[1]);
    bool help = strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0;
    bool script = second.n > 4 && strcmp(argv[1] + second.n - 4, ".lua") == 0;
    if (help || (!script && argv[1][0] != '-')) {
        return NULL;
    }
    const struct tl_cli_command *command = find_command(2, (char **)(uintptr_t)full, used);
    *used = 1;
    return command;
}

/* No command: help on the commands that begin with the words there are, or an error. */
static int no_command(int argc, char **argv)
{
    static const char *const asking[] = {"--help", "-h", "help"};
    int words = 0;
    bool asked = false;
    while (words < argc && !asked) {
        for (int i = 0; i < 3; i++) {
            asked = asked || strcmp(argv[words], asking[i]) == 0;
        }
        words += !asked;
    }
    if (print_help(asked ? stdout : stderr, argv, words)) {
        return asked ? 0 : 2;
    }
    if (words > 1 && argv[1][0] != '-') {
        return tl_cli_fail(2, "unknown command '%s %s'; temporal-lua --help lists them", argv[0],
                           argv[1]);
    }
    return tl_cli_fail(2, "unknown command '%s'; temporal-lua --help lists them", argv[0]);
}

int tl_cli_main(int argc, char **argv)
{
    int used, rc;
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("temporal-lua version " VERSION);
        return 0;
    }
    if (argc == 2 &&
        strcmp(argv[1], TL_LUA_PROCESS_COMMAND) == 0) { /* not for people, so no command */
        return tl_lua_process_main();
    }
    tl_lua_process_program_is_ours();
    const struct tl_cli_command *c = find_command(argc - 1, argv + 1, &used);
    c = c ? c : find_short_form(argc - 1, argv + 1, &used);
    if (!c) {
        return no_command(argc - 1, argv + 1);
    }
    struct tl_cli *cli = TL_NEW(struct tl_cli);
    cli->command = c;
    tl_arena_init(&cli->arena, ARENA_BYTES_MAX);
    rc = parse(cli, argc - 1 - used, argv + 1 + used);
    if (rc == 0) {
        rc = c->handler(cli);
    }
    tl_cli_profile_close(cli->profile);
    tl_arena_deinit(&cli->arena);
    tl_mem_free(cli->args);
    tl_mem_free(cli);
    return rc < 0 ? 0 : rc;
}

/* --- for handlers ----------------------------------------------------------------------------- */

static struct value *value_of(struct tl_cli *cli, const char *name)
{
    size_t index = option_index(cli->command, name, strlen(name), false);
    TL_ASSERT(index != SIZE_MAX);
    return &cli->values[index];
}

const char *tl_cli_text(struct tl_cli *cli, const char *name)
{
    return value_of(cli, name)->texts[0];
}

bool tl_cli_flag(struct tl_cli *cli, const char *name)
{
    const char *text = tl_cli_text(cli, name);
    return text && (strcmp(text, "true") == 0 || strcmp(text, "1") == 0);
}

int64_t tl_cli_integer(struct tl_cli *cli, const char *name)
{
    const char *text = tl_cli_text(cli, name);
    return text ? strtoll(text, NULL, 10) : 0;
}

int64_t tl_cli_duration_ns(struct tl_cli *cli, const char *name)
{
    const char *text = tl_cli_text(cli, name);
    int64_t ns = 0;
    if (text) {
        TL_ASSERT(tl_duration_parse(tl_str(text), &ns, NULL) == TL_OK);
    }
    return ns;
}

const char *const *tl_cli_texts(struct tl_cli *cli, const char *name)
{
    return value_of(cli, name)->texts;
}

char **tl_cli_args(struct tl_cli *cli, int *count)
{
    if (count) {
        *count = cli->arg_count;
    }
    return cli->args;
}

bool tl_cli_given(struct tl_cli *cli, const char *name)
{
    return value_of(cli, name)->given;
}

/* Whether a value may be shown in a log. */
static bool is_secret(const char *name)
{
    return strstr(name, "api-key") != NULL;
}

void tl_cli_print_options(struct tl_cli *cli, struct tl_buf *out)
{
    const struct tl_cli_option *o = cli->command->options;
    for (size_t i = 0; o[i].name; i++) {
        const struct value *v = &cli->values[i];
        tl_buf_printf(out, "%s:", o[i].name);
        for (size_t k = 0; k < v->count; k++) {
            tl_buf_printf(out, "%s%s", k ? ", " : " ",
                          is_secret(o[i].name) ? "(hidden)" : v->texts[k]);
        }
        tl_buf_puts(out, "\n");
    }
}

int tl_cli_log_options(struct tl_cli *cli)
{
    enum tl_log_level level;
    const char *name = tl_cli_text(cli, "log-level"), *format = tl_cli_text(cli, "log-format");
    if (!tl_log_level_parse(tl_str(name), &level)) {
        return tl_cli_fail(
            2, "--log-level wants trace, debug, info, warn, error or never, got '%s'", name);
    }
    bool text = strcmp(format, "json") != 0;
    if (text && strcmp(format, "text") != 0 && strcmp(format, "pretty") != 0) {
        /* The official tool takes any word. */
        TL_LOG(TL_LOG_WARN, "log.format_unknown", TL_C("format", format), TL_C("used", "text"));
    }
    tl_log_level(level);
    tl_log_json(!text);
    return 0;
}

tl_rc tl_cli_read_file(const char *path, char **out, size_t *n, struct tl_error *err)
{
    struct tl_buf b;
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    size_t got = 0;
    if (!f) {
        return tl_error_set(err, TL_ENOTFOUND, "cannot read '%s': %s", path, strerror(errno));
    }
    tl_buf_init(&b, (size_t)tl_limit_request_bytes);
    char *at;
    while ((at = tl_buf_reserve(&b, 65536)) && (got = fread(at, 1, 65536, f)) > 0) {
        tl_buf_added(&b, got);
    }
    bool bad = ferror(f) != 0;
    if (f != stdin) {
        fclose(f);
    }
    if (bad || !at) {
        tl_buf_deinit(&b);
        return tl_error_set(err, bad ? TL_EIO : TL_ELIMIT, "cannot read '%s': %s", path,
                            bad ? strerror(errno) : "it is too large");
    }
    *out = tl_buf_take(&b, n);
    return TL_OK;
}
