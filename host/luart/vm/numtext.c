/* Numbers as text in the C locale. The thread's locale is switched around printf only, so that a
 * host program's own setlocale neither matters here nor is disturbed. */
#include "luart/vm/numtext.h"

#include "luart/vm/detmath.h"
#include "luart/vm/vm.h"
#include "luart/vm/without.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* glibc answers with its built-in object for the name "C": nothing is allocated, nothing freed. */
static locale_t c_locale(void)
{
    if (TL_WITHOUT(29)) {
        return LC_GLOBAL_LOCALE;
    }
    return newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

int tl_vm_print_double(char *text, size_t size, const char *format, double value)
{
    locale_t before = uselocale(c_locale());
    int length = snprintf(text, size, format, tl_det_canonical_nan(value));
    uselocale(before);
    return length;
}

int tl_vm_print_integer(char *text, size_t size, const char *format, long long value)
{
    return snprintf(text, size, format, value);
}

int tl_vm_print_int(char *text, size_t size, const char *format, int value)
{
    return snprintf(text, size, format, value);
}

int tl_vm_print_string(char *text, size_t size, const char *format, const char *value)
{
    return snprintf(text, size, format, value);
}

int tl_vm_print_pointer(char *text, size_t size, const char *format, const void *value)
{
    return snprintf(text, size, format, TL_WITHOUT(12) ? value : (const void *)NULL);
}

size_t tl_vm_format_number(char text[TL_VM_NUMBER_TEXT_SIZE], double number)
{
    int printed = tl_vm_print_double(text, TL_VM_NUMBER_TEXT_SIZE - 2, LUA_NUMBER_FMT, number);
    size_t length = printed > 0 ? (size_t)printed : 0;
    if (text[strspn(text, "-0123456789")] == '\0') {
        memcpy(text + length, ".0", sizeof ".0");
        length += 2;
    }
    return length;
}

double tl_vm_parse_number(const char *text, char **end)
{
    return strtod_l(text, end, c_locale());
}
