/* Goal: digests are SHA-256 as published. Method: the vectors of FIPS 180-4, in one piece and cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crypto/digest.h"

static void hex_of(struct tl_str s, size_t piece, char out[TL_SHA256_HEX])
{
    struct tl_digest *d = tl_digest_new();
    for (size_t at = 0; at < s.n; at += piece) {
        tl_digest_put(d, tl_str_n(s.p + at, s.n - at < piece ? s.n - at : piece));
    }
    tl_digest_finish_hex(d, out);
}

static void published_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char hex[TL_SHA256_HEX];
        hex_of(tl_str(rows[i].text), 64, hex);
        assert_string_equal(hex, rows[i].hex);
        hex_of(tl_str(rows[i].text), 7, hex);
        assert_string_equal(hex, rows[i].hex);
    }
}

static void fields_do_not_run_together(void **state)
{
    (void)state;
    char one[TL_SHA256_HEX], two[TL_SHA256_HEX];
    struct tl_digest *d = tl_digest_new();
    tl_digest_put_field(d, tl_str("ab"));
    tl_digest_put_field(d, tl_str("c"));
    tl_digest_finish_hex(d, one);
    d = tl_digest_new();
    tl_digest_put_field(d, tl_str("a"));
    tl_digest_put_field(d, tl_str("bc"));
    tl_digest_finish_hex(d, two);
    assert_string_not_equal(one, two);
}

static void all_at_once(void **state)
{
    (void)state;
    uint8_t out[TL_SHA256_BYTES];
    tl_sha256(tl_str("abc"), out);
    assert_int_equal(out[0], 0xba);
    assert_int_equal(out[31], 0xad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(fields_do_not_run_together),
        cmocka_unit_test(all_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
