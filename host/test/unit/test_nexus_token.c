/* Tokens of operations that a workflow stands behind: the form that other SDKs write and read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/nexus_token.h"

static struct tl_arena arena;

static void refused(const char *token, const char *words)
{
    struct tl_nexus_workflow w;
    struct tl_error err;
    assert_int_equal(tl_nexus_workflow_of_token(tl_str(token), &arena, &w, &err), TL_ENOTFOUND);
    if (!strstr(err.message, words)) {
        fail_msg("\"%s\" is not in \"%s\"", words, err.message);
    }
}

static void a_token_names_its_workflow(void **state)
{
    struct tl_nexus_workflow w;
    struct tl_error err;
    (void)state;
    char *token = tl_nexus_workflow_token(&arena, TL_STR_LIT("shop"), TL_STR_LIT("a\"b?\xc3\xbf"));
    assert_null(strpbrk(token, "+/="));
    assert_int_equal(tl_nexus_workflow_of_token(tl_str(token), &arena, &w, &err), TL_OK);
    assert_true(tl_str_eqc(w.namespace_, "shop"));
    assert_true(tl_str_eqc(w.workflow_id, "a\"b?\xc3\xbf"));
}

static void tokens_of_other_sdks_are_read(void **state)
{
    struct tl_nexus_workflow w;
    struct tl_error err;
    (void)state;
    /* {"v":0,"t":1,"ns":"default","wid":"w","x":{"y":[1]}} */
    const char *token = "eyJ2IjowLCJ0IjoxLCJucyI6ImRlZmF1bHQiLCJ3aWQiOiJ3IiwieCI6eyJ5IjpbMV19fQ";
    assert_int_equal(tl_nexus_workflow_of_token(tl_str(token), &arena, &w, &err), TL_OK);
    assert_true(tl_str_eqc(w.namespace_, "default"));
    assert_true(tl_str_eqc(w.workflow_id, "w"));
}

static void other_tokens_name_none(void **state)
{
    (void)state;
    refused("", "not made by a Temporal SDK");
    refused("%%%", "not made by a Temporal SDK");
    refused("Nw", "not made by a Temporal SDK");                 /* 7 */
    refused("eyJ0IjoxLA", "not made by a Temporal SDK");         /* {"t":1, */
    refused("eyJ0IjoyLCJ3aWQiOiJ3In0", "names no workflow");     /* {"t":2,"wid":"w"} */
    refused("eyJ0IjoxLCJ3aWQiOiIifQ", "names no workflow");      /* {"t":1,"wid":""} */
    refused("eyJ0IjoxLCJ2IjozLCJ3aWQiOiJ3In0", "has a version"); /* {"t":1,"v":3,"wid":"w"} */
}

static int setup(void **state)
{
    (void)state;
    tl_arena_init(&arena, TL_ARENA_UNLIMITED);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tl_arena_deinit(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_names_its_workflow),
        cmocka_unit_test(tokens_of_other_sdks_are_read),
        cmocka_unit_test(other_tokens_name_none),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
