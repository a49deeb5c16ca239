/* A locale with a comma in numbers, another alphabet and another order of letters, for tests. */
#pragma once

#include <stdbool.h>

/* Compiles the locale below `build_folder` and switches the process to it; the caller switches back
 * with setlocale(LC_ALL, "C"). False when the machine has no localedef or no locale sources.
 * Owns: nothing. Thread: the only one. */
bool tl_enter_german_locale(const char *build_folder);
