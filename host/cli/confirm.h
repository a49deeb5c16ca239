/* Questions before something is lost. Thread: main. */
#pragma once

#include "cli/connect.h"

/* Asks; --yes is an answer, and without text output the only one. Returns 0 for yes, or an exit code after the error
 * was printed. */
int tl_cli_confirm(struct tl_cli_session *s, const char *question);
/* The same where yes is a name that has to be typed. */
int tl_cli_confirm_name(struct tl_cli_session *s, const char *question, const char *name);
