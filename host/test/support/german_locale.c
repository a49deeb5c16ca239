/* See german_locale.h. */
#include "german_locale.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

bool tl_enter_german_locale(const char *build_folder)
{
    char command[4096], folder[1024];
    snprintf(folder, sizeof folder, "%s/locale", build_folder);
    snprintf(command, sizeof command,
             "mkdir -p '%s' && { test -d '%s/de_DE.ISO-8859-1' || localedef -i de_DE -f ISO-8859-1 "
             "--no-archive '%s/de_DE.ISO-8859-1' >/dev/null 2>&1; }",
             folder, folder, folder);
    return system(command) == 0 && setenv("LOCPATH", folder, 1) == 0 &&
           setlocale(LC_ALL, "de_DE.ISO-8859-1") != NULL;
}
