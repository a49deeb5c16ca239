/* Numbers as text for the sandbox VM, independent of the process locale: what stands behind Lua's
 * tostring, string.format and number literals. Internal to host/luart/vm.
 * Thread: any. Owner: the caller of every buffer. */
#pragma once

#include <stddef.h>

/* Each prints one value by a format that Lua has checked, and returns what snprintf returns.
 * A NaN prints without its sign; a pointer prints as a null one, never as an address.
 * Owns: nothing. Thread: any. Errors: as snprintf. */
int tl_vm_print_double(char *text, size_t size, const char *format, double value);
int tl_vm_print_integer(char *text, size_t size, const char *format, long long value);
int tl_vm_print_int(char *text, size_t size, const char *format, int value);
int tl_vm_print_string(char *text, size_t size, const char *format, const char *value);
int tl_vm_print_pointer(char *text, size_t size, const char *format, const void *value);
