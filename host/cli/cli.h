/* Command line: a table of commands (commands.lua, compiled to C at build time), one parser, one help
 * printer, one handler per command.
 * Exit codes: 0 done, 1 it failed, 2 the command line is wrong.
 * Thread: main. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

enum tl_cli_kind { TL_CLI_STRING, TL_CLI_INTEGER, TL_CLI_DURATION, TL_CLI_BOOLEAN, TL_CLI_STRINGS };

struct tl_cli_option {
    const char *name, *alias, *short_name, *env, *default_text, *help;
    const char *const *choices; /* NULL: any text; else NULL-terminated */
    enum tl_cli_kind kind;
    bool required;
    bool pair; /* each value is KEY=VALUE */
};

struct tl_cli;
typedef int (*tl_cli_handler)(struct tl_cli *cli);

struct tl_cli_command {
    const char *path; /* "workflow show" */
    const char *summary;
    const char *args; /* NULL: takes none; "[NAME]": may be left out; "NAME...": any number */
    tl_cli_handler handler;
    const struct tl_cli_option *options; /* the last has name NULL */
};

/* Generated; the last has path NULL. */
extern const struct tl_cli_command tl_cli_commands[];

/* Runs the command that argv names and returns the exit code. */
int tl_cli_main(int argc, char **argv);

/* --- for handlers: options are asked for by name; a name that the table lacks is a bug -------- */

/* NULL when it was not given and has no default. Borrowed from argv or the environment. */
const char *tl_cli_text(struct tl_cli *cli, const char *name);
bool tl_cli_flag(struct tl_cli *cli, const char *name);
int64_t tl_cli_integer(struct tl_cli *cli, const char *name); /* checked by the parser */
int64_t tl_cli_duration_ns(struct tl_cli *cli, const char *name);
/* Values of a repeatable option, NULL-terminated; never NULL. */
const char *const *tl_cli_texts(struct tl_cli *cli, const char *name);
/* Whether it stood on the command line, as against the environment or the table's default. */
bool tl_cli_given(struct tl_cli *cli, const char *name);
/* What stood behind the options, NULL-terminated. */
char **tl_cli_args(struct tl_cli *cli, int *count);

/* Prints "temporal-lua: message" to stderr and returns the code. */
int tl_cli_fail(int exit_code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Applies --log-level and --log-format; 0 or an exit code. */
int tl_cli_log_options(struct tl_cli *cli);
/* Appends every option of the command with the values it has, one line each. */
void tl_cli_print_options(struct tl_cli *cli, struct tl_buf *out);
/* Reads a whole file. Owns: *out (tl_mem_free). */
tl_rc tl_cli_read_file(const char *path, char **out, size_t *n, struct tl_error *err) TL_MUST_USE;
