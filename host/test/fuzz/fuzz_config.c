/* Fuzzer of the configuration file: any text as TOML and as a file with profiles. What is reported lies
 * in order and within the limits; the same text read again says the same. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "config/profile.h"
#include "config/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static tl_rc count(void *ud, const struct tl_toml_value *v, struct tl_error *err)
{
    size_t *n = ud;
    (void)err;
    TL_ASSERT(v->depth > 0 && v->depth <= TL_TOML_DEPTH_MAX && v->line > 0);
    *n += v->text.n + 1;
    return TL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tl_arena arena;
    struct tl_profile p;
    struct tl_error err;
    size_t once = 0, again = 0;
    struct tl_str text = tl_str_n(data ? (const char *)data : "", size);
    struct tl_profile_source source = {.config = text, .disable_env = true};
    tl_arena_init(&arena, (size_t)64 << 20);
    tl_rc rc = tl_toml_read(text, &arena, count, &once, &err);
    TL_ASSERT(tl_toml_read(text, &arena, count, &again, &err) == rc && once == again);
    if (tl_profile_load(&source, &arena, &p, &err) == TL_OK) {
        TL_ASSERT(rc == TL_OK && p.meta_count <= TL_PROFILE_META_MAX);
        for (size_t i = 0; i < p.meta_count; i++) {
            TL_ASSERT(*p.meta[i].value);
        }
    }
    tl_arena_deinit(&arena);
    return 0;
}
