/* Goal: the TOML reader takes what TOML 1.0 allows and refuses the rest with its line; profiles come from
 * file and environment as the other SDKs have them.
 * Method: tables of texts with what they give; files and variables of this process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/profile.h"
#include "config/profile_file.h"
#include "config/toml.h"

/* Values as "a/b=S:text;" one after another. */
static tl_rc write_value(void *ud, const struct tl_toml_value *v, struct tl_error *err)
{
    struct tl_buf *out = ud;
    (void)err;
    for (size_t i = 0; i < v->depth; i++) {
        tl_buf_puts(out, i ? "/" : "");
        tl_buf_put_str(out, v->path[i]);
    }
    tl_buf_puts(out, v->kind == TL_TOML_STRING    ? "=S:"
                     : v->kind == TL_TOML_BOOLEAN ? "=B:"
                     : v->kind == TL_TOML_TABLE   ? "[]"
                                                  : "=");
    tl_buf_put_str(out, v->text);
    tl_buf_putc(out, ';');
    return TL_OK;
}

static const char *read_toml(const char *text, struct tl_arena *arena)
{
    struct tl_buf out;
    struct tl_error err = {0};
    tl_buf_init(&out, 65536);
    tl_rc rc = tl_toml_read(tl_str(text), arena, write_value, &out, &err);
    const char *result = rc == TL_OK ? tl_arena_cstr(arena, tl_buf_str(&out))
                                     : tl_arena_printf(arena, "error: %s", err.message);
    tl_buf_deinit(&out);
    return result;
}

static void reads_toml(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"# only this", ""},
        {"\xef\xbb\xbf"
         "a = 'x' # y",
         "a=S:x;"},
        {"a.b . \"c d\" = 'x'\r\n[t]\r\nk = true\r\n[t.u]\nk=false",
         "a/b/c d=S:x;t[];t/k=B:true;t/u[];t/u/k=B:false;"},
        {"s = \"q\\\"\\\\\\n\\u00e4\\U0001F600\"", "s=S:q\"\\\n\xc3\xa4\xf0\x9f\x98\x80;"},
        {"p = 'C:\\x'", "p=S:C:\\x;"},
        {"m = \"\"\"\none\n  two \\\n   three\"\"\"\nl = '''\na'b''c'''''",
         "m=S:one\n  two three;l=S:a'b''c'';"},
        {"n = 1_000\nf = -1.5e3\nd = 1979-05-27T07:32:00Z\nh = 0xff\ni = inf",
         "n=1_000;f=-1.5e3;d=1979-05-27T07:32:00Z;h=0xff;i=inf;"},
        {"a = [ 1, 'x', # c\n [true], ]\nt = { x = 1, y.z = 'v' }\ne = {}",
         "a=[ 1, 'x', # c\n [true], ];t/x=1;t/y/z=S:v;e[];"},
        {"a = 1 b = 2", "error: line 1: something stands behind"},
        {"\n\na = ", "error: line 3: a value is missing"},
        {"a = text", "error: line 1: a value is missing"},
        {"a = truely", "error: line 1: a value is missing"},
        {"a", "error: line 1: '=' is missing"},
        {"= 1", "error: line 1: a key is missing"},
        {"a = 'x", "error: line 1: a string without its end"},
        {"a = \"x\ny\"", "error: line 1: a string without its end"},
        {"a = \"\\q\"", "error: line 1: a backslash"},
        {"a = \"\\ud800\"", "error: line 1: an escape that is no character"},
        {"a = '\x01'", "error: line 1: a control character"},
        {"[a", "error: line 1: ']' is missing"},
        {"[a]\n[b]\n[a]", "error: line 3: the table [a] is there twice"},
        {"[[a]]", "error: line 1: arrays of tables"},
        {"a = [1 2]", "error: line 1: ',' or ']' is missing"},
        {"a = { b = 1", "error: line 1: ',' or '}' is missing"},
        {"a = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "error: line 1: more than 32 values"},
        {"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a = 1", "error: line 1: more than 16 keys"},
    };
    struct tl_arena arena;
    tl_arena_init(&arena, (size_t)16 << 20);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *got = read_toml(rows[i][0], &arena), *want = rows[i][1];
        if (strncmp(want, "error", 5) == 0) {
            assert_memory_equal(got, want, strlen(want));
        } else {
            assert_string_equal(got, want);
        }
    }
    tl_arena_deinit(&arena);
}

/* --- profiles ------------------------------------------------------------------------------------- */

static const char two_profiles[] = "[profile.default]\n"
                                   "address = \"a:1\"\n"
                                   "namespace = \"one\"\n"
                                   "later = 1\n"
                                   "[profile.default.grpc_meta]\n"
                                   "X_Trace = \"t\"\n"
                                   "gone = \"x\"\n"
                                   "[profile.prod]\n"
                                   "address = \"b:2\"\n"
                                   "tls = { server_name = \"n\", client_cert_path = '/c' }\n"
                                   "codec.endpoint = \"http://c\"\n"
                                   "[profile.off]\n"
                                   "api_key = \"k\"\n"
                                   "tls.disabled = true\n";

static tl_rc load(struct tl_profile_source source, struct tl_arena *arena, struct tl_profile *out,
                  struct tl_error *err)
{
    if (!source.config.p) {
        source.config = tl_str(two_profiles);
    }
    return tl_profile_load(&source, arena, out, err);
}

static int clear_environment(void **state)
{
    (void)state;
    static const char *const names[] = {
        "TEMPORAL_ADDRESS",
        "TEMPORAL_API_KEY",
        "TEMPORAL_NAMESPACE",
        "TEMPORAL_GRPC_META_X_TRACE",
        "TEMPORAL_GRPC_META_GONE",
        "TEMPORAL_PROFILE",
        "TEMPORAL_TLS",
        "TEMPORAL_CONFIG_FILE",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unsetenv(names[i]);
    }
    return 0;
}

static void profiles_come_from_the_text(void **state)
{
    (void)state;
    struct tl_arena arena;
    struct tl_profile p;
    struct tl_error err = {0};
    tl_arena_init(&arena, (size_t)16 << 20);
    assert_int_equal(load((struct tl_profile_source){0}, &arena, &p, &err), TL_OK);
    assert_string_equal(p.address, "a:1");
    assert_string_equal(p.namespace_name, "one");
    assert_null(p.api_key);
    assert_int_equal(p.tls, TL_SWITCH_UNSET);
    assert_false(tl_profile_wants_tls(&p));
    assert_int_equal(p.meta_count, 2);
    assert_string_equal(p.meta[0].name, "x-trace");
    assert_string_equal(p.meta[0].value, "t");
    assert_int_equal(load((struct tl_profile_source){.profile = "prod"}, &arena, &p, &err), TL_OK);
    assert_string_equal(p.address, "b:2");
    assert_null(p.namespace_name);
    assert_string_equal(p.server_name, "n");
    assert_string_equal(p.client_cert_path, "/c");
    assert_string_equal(p.codec_endpoint, "http://c");
    assert_true(tl_profile_wants_tls(&p));
    assert_int_equal(load((struct tl_profile_source){.profile = "off"}, &arena, &p, &err), TL_OK);
    assert_string_equal(p.api_key, "k");
    assert_false(tl_profile_wants_tls(&p));
    tl_arena_deinit(&arena);
}

static void the_environment_wins(void **state)
{
    (void)state;
    struct tl_arena arena;
    struct tl_profile p;
    struct tl_error err = {0};
    tl_arena_init(&arena, (size_t)16 << 20);
    setenv("TEMPORAL_ADDRESS", "e:3", 1);
    setenv("TEMPORAL_API_KEY", "secret", 1);
    setenv("TEMPORAL_NAMESPACE", "", 1); /* counts as none */
    setenv("TEMPORAL_GRPC_META_X_TRACE", "other", 1);
    setenv("TEMPORAL_GRPC_META_GONE", "", 1);
    assert_int_equal(load((struct tl_profile_source){0}, &arena, &p, &err), TL_OK);
    assert_string_equal(p.address, "e:3");
    assert_string_equal(p.namespace_name, "one");
    assert_true(tl_profile_wants_tls(&p));
    assert_int_equal(p.meta_count, 1);
    assert_string_equal(p.meta[0].value, "other");
    assert_int_equal(load((struct tl_profile_source){.disable_env = true}, &arena, &p, &err),
                     TL_OK);
    assert_string_equal(p.address, "a:1");
    setenv("TEMPORAL_PROFILE", "prod", 1);
    assert_int_equal(load((struct tl_profile_source){0}, &arena, &p, &err), TL_OK);
    assert_string_equal(p.server_name, "n");
    setenv("TEMPORAL_TLS", "maybe", 1);
    assert_int_equal(load((struct tl_profile_source){0}, &arena, &p, &err), TL_EINVAL);
    assert_non_null(strstr(err.message, "TEMPORAL_TLS"));
    setenv("TEMPORAL_TLS", "0", 1);
    assert_int_equal(load((struct tl_profile_source){0}, &arena, &p, &err), TL_OK);
    assert_false(tl_profile_wants_tls(&p));
    tl_arena_deinit(&arena);
}

static void what_is_wrong_is_told(void **state)
{
    (void)state;
    static const struct {
        struct tl_profile_source source;
        tl_rc rc;
        const char *message;
    } rows[] = {
        {{.profile = "none"}, TL_ENOTFOUND, "no profile 'none'"},
        {{.strict = true}, TL_EINVAL, "line 4: 'later' is not a setting"},
        {{.config = {"[profile.default]\nadress = 'a'", 30}, .strict = true},
         TL_EINVAL,
         "'adress' is not a setting of a profile (did you mean 'address'?)"},
        {{.config = {"[profiles.default]\nx = 'a'", 26}, .strict = true},
         TL_EINVAL,
         "'profiles' does not belong to a profile (did you mean 'profile'?)"},
        {{.config = {"[profile.default]\naddress = 1", 31}}, TL_EINVAL, "address wants a text"},
        {{.config = {"[profile.default]\ntls = 'x'", 27}}, TL_EINVAL, "tls wants true or false"},
        {{.config = {"profile.default.address='a'\nprofile.default.address='b'", 55}},
         TL_EINVAL,
         "address is there twice"},
        {{.config = {"[profile", 8}}, TL_EINVAL, "line 1: ']' is missing"},
    };
    struct tl_arena arena;
    struct tl_profile p;
    struct tl_error err = {0};
    tl_arena_init(&arena, (size_t)16 << 20);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(load(rows[i].source, &arena, &p, &err), rows[i].rc);
        if (!strstr(err.message, rows[i].message)) {
            fail_msg("'%s' is not in '%s'", rows[i].message, err.message);
        }
    }
    tl_arena_deinit(&arena);
}

static void files_are_found(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_config_XXXXXX", path[128];
    struct tl_arena arena;
    struct tl_profile p;
    struct tl_error err = {0};
    struct tl_profile_source none = {0}, named = {.config_file = "/no/such.toml"};
    tl_arena_init(&arena, (size_t)16 << 20);
    assert_non_null(mkdtemp(folder));
    setenv("XDG_CONFIG_HOME", folder, 1);
    assert_int_equal(tl_profile_load(&none, &arena, &p, &err), TL_OK); /* there is none */
    assert_null(p.address);
    assert_int_equal(tl_profile_load(&named, &arena, &p, &err), TL_ENOTFOUND);
    assert_non_null(strstr(err.message, "/no/such.toml"));
    snprintf(path, sizeof path, "mkdir %s/temporalio", folder);
    assert_int_equal(system(path), 0);
    snprintf(path, sizeof path, "%s/temporalio/temporal.toml", folder);
    FILE *f = fopen(path, "w");
    fputs(two_profiles, f);
    fclose(f);
    assert_int_equal(tl_profile_load(&none, &arena, &p, &err), TL_OK);
    assert_string_equal(p.address, "a:1");
    none.disable_file = true;
    assert_int_equal(tl_profile_load(&none, &arena, &p, &err), TL_OK);
    assert_null(p.address);
    snprintf(path, sizeof path, "rm -r %s", folder);
    assert_int_equal(system(path), 0);
    tl_arena_deinit(&arena);
}

/* An empty table is a setting too. */
static void an_empty_tls_table_turns_it_on(void **state)
{
    (void)state;
    static const char *const texts[] = {"[profile.default.tls]\n", "[profile.default]\ntls = {}\n"};
    for (size_t i = 0; i < 2; i++) {
        struct tl_arena arena;
        struct tl_profile p;
        struct tl_error err = {0};
        tl_arena_init(&arena, (size_t)16 << 20);
        assert_int_equal(
            load((struct tl_profile_source){.config = tl_str(texts[i]), .strict = true}, &arena, &p,
                 &err),
            TL_OK);
        assert_true(tl_profile_wants_tls(&p));
        tl_arena_deinit(&arena);
    }
}

static const char *content(const char *path, char *out, size_t cap)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    out[fread(out, 1, cap - 1, f)] = '\0';
    fclose(f);
    return out;
}

/* Keys that nobody knows stay, the mode stays, and what was written is read as it was. */
static void a_changed_file_keeps_the_rest(void **state)
{
    (void)state;
    char path[] = "/tmp/test_config_XXXXXX", text[4096];
    struct tl_arena arena;
    struct tl_profile_file *f;
    struct tl_profile p;
    struct tl_error err = {0};
    tl_arena_init(&arena, (size_t)16 << 20);
    int fd = mkstemp(path);
    assert_true(fd >= 0 && fchmod(fd, 0640) == 0);
    static const char before[] = "top = 1 # gone\n[other.\"a b\"]\nlist = [1, 'x']\n"
                                 "[profile.p]\nnew_key = 1.5\ntls = false\n"
                                 "[profile.p.grpc_meta]\nX_Y = 'v'\n";
    assert_int_equal(write(fd, before, sizeof before - 1), (ssize_t)(sizeof before - 1));
    close(fd);
    assert_int_equal(tl_profile_file_open(path, &arena, &f, &err), TL_OK);
    assert_int_equal(tl_profile_file_set(f, "p", "address", "q\"\\\n\x01", &err), TL_OK);
    assert_int_equal(tl_profile_file_set(f, "p", "tls.server_name", "n", &err), TL_OK);
    assert_int_equal(tl_profile_file_set(f, "p", "grpc_meta.x-y", "w", &err), TL_OK);
    assert_int_equal(tl_profile_file_set(f, "q r", "tls", "true", &err), TL_OK);
    assert_int_equal(tl_profile_file_set(f, "p", "tls.disabled", "yes", &err), TL_EINVAL);
    assert_int_equal(tl_profile_file_save(f, &err), TL_OK);
    assert_string_equal(content(path, text, sizeof text),
                        "top = 1\n"
                        "\n[other.\"a b\"]\nlist = [1, 'x']\n"
                        "\n[profile.p]\nnew_key = 1.5\naddress = \"q\\\"\\\\\\n\\u0001\"\n"
                        "\n[profile.p.grpc_meta]\nX_Y = \"w\"\n"
                        "\n[profile.p.tls]\ndisabled = true\nserver_name = \"n\"\n"
                        "\n[profile.\"q r\".tls]\n");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    const struct tl_profile_source source = {.config_file = path, .profile = "p"};
    assert_int_equal(tl_profile_load(&source, &arena, &p, &err), TL_OK);
    assert_string_equal(p.address, "q\"\\\n\x01");
    assert_int_equal(p.tls, TL_SWITCH_OFF);
    assert_string_equal(p.meta[0].value, "w");
    /* A file that is not TOML is refused and left alone. */
    assert_int_equal(truncate(path, 0), 0);
    FILE *broken = fopen(path, "w");
    fputs("[profile", broken);
    fclose(broken);
    assert_int_equal(tl_profile_file_open(path, &arena, &f, &err), TL_EINVAL);
    assert_string_equal(content(path, text, sizeof text), "[profile");
    unlink(path);
    tl_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_toml),
        cmocka_unit_test_setup(profiles_come_from_the_text, clear_environment),
        cmocka_unit_test_setup(the_environment_wins, clear_environment),
        cmocka_unit_test_setup(what_is_wrong_is_told, clear_environment),
        cmocka_unit_test_setup(files_are_found, clear_environment),
        cmocka_unit_test_setup(an_empty_tls_table_turns_it_on, clear_environment),
        cmocka_unit_test_setup(a_changed_file_keeps_the_rest, clear_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
