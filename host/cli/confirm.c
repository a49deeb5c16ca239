/* See confirm.h. */
#include "cli/confirm.h"

#include <stdio.h>
#include <string.h>

/* The answer, "" at the end of the input; NULL when there is no prompt, after the error was printed. */
static const char *ask(struct tl_cli_session *s, const char *question, char *line, size_t cap)
{
    *line = 0;
    if (s->print.mode != TL_PRINT_TEXT) {
        tl_cli_fail(1, "without text output there is no prompt: give --yes");
        return NULL;
    }
    printf("%s ", question);
    fflush(stdout);
    if (fgets(line, (int)cap, stdin)) {
        line[strcspn(line, "\r\n")] = 0;
    }
    return line;
}

static bool said_yes(struct tl_cli_session *s, const char *question)
{
    if (tl_cli_flag(s->cli, "yes")) {
        tl_print_line(&s->print, "%s yes", question);
        return true;
    }
    return false;
}

int tl_cli_confirm(struct tl_cli_session *s, const char *question)
{
    char line[16];
    if (said_yes(s, question)) {
        return 0;
    }
    const char *answer = ask(s, question, line, sizeof line);
    if (!answer) {
        return 1;
    }
    if (strcasecmp(answer, "y") != 0 && strcasecmp(answer, "yes") != 0) {
        return tl_cli_fail(1, "user denied confirmation");
    }
    return 0;
}

int tl_cli_confirm_name(struct tl_cli_session *s, const char *question, const char *name)
{
    char line[512];
    if (said_yes(s, question)) {
        return 0;
    }
    const char *answer = ask(s, question, line, sizeof line);
    if (!answer) {
        return 1;
    }
    if (strcmp(answer, name) != 0) {
        return tl_cli_fail(1, "user denied confirmation or mistyped the name");
    }
    return 0;
}
