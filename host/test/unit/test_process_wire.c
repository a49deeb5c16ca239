/* Goal: frames between a worker and its activity processes arrive whole; what is no frame, or ends in the middle, is
 * told from one. Method: both ends of a socket pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "luahost/process_wire.h"

struct ends {
    int fd[2];
    struct tl_buf out, in;
};

static void open_ends(struct ends *e)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, e->fd), 0);
    tl_buf_init(&e->out, TL_PROCESS_FRAME_MAX);
    tl_buf_init(&e->in, TL_PROCESS_FRAME_MAX);
}

static void close_ends(struct ends *e)
{
    close(e->fd[0]);
    close(e->fd[1]);
    tl_buf_deinit(&e->out);
    tl_buf_deinit(&e->in);
}

static void fields_arrive_as_they_were_put(void **state)
{
    (void)state;
    struct ends e;
    enum tl_process_frame kind;
    struct tl_str fields;
    open_ends(&e);
    for (int i = 0; i < 2; i++) { /* the buffers are used again */
        tl_process_begin(&e.out, TL_PF_END);
        tl_process_put_u32(&e.out, 0xfedcba98u);
        tl_process_put(&e.out, TL_STR_LIT(""));
        tl_process_put(&e.out, TL_STR_LIT("a\0b"));
        assert_true(tl_process_send(e.fd[0], &e.out));
        assert_true(tl_process_receive(e.fd[1], &e.in, &kind, &fields));
        assert_int_equal(kind, TL_PF_END);
        assert_int_equal(tl_process_take_u32(&fields), 0xfedcba98u);
        assert_int_equal(tl_process_take(&fields).n, 0);
        assert_true(tl_str_eq(tl_process_take(&fields), TL_STR_LIT("a\0b")));
        assert_int_equal(tl_process_take(&fields).n, 0); /* past the end */
        assert_int_equal(tl_process_take_u32(&fields), 0);
    }
    close_ends(&e);
}

static void a_peer_that_is_gone_is_no_frame(void **state)
{
    (void)state;
    struct ends e;
    enum tl_process_frame kind;
    struct tl_str fields;
    open_ends(&e);
    tl_process_begin(&e.out, TL_PF_BEAT);
    tl_process_put(&e.out, TL_STR_LIT("details"));
    assert_int_equal(write(e.fd[0], "\x20\0\0\0\x06half", 9), 9);
    shutdown(e.fd[0], SHUT_RDWR);
    assert_false(tl_process_receive(e.fd[1], &e.in, &kind, &fields));
    assert_false(tl_process_send(e.fd[1], &e.out)); /* and no signal ends this process */
    close_ends(&e);
}

static void what_is_no_frame_is_refused(void **state)
{
    (void)state;
    static const char empty[] = "\0\0\0\0\x06", huge[] = "\xff\xff\xff\xff\x06";
    const char *const heads[] = {empty, huge};
    for (size_t i = 0; i < 2; i++) {
        struct ends e;
        enum tl_process_frame kind;
        struct tl_str fields;
        open_ends(&e);
        assert_int_equal(write(e.fd[0], heads[i], 5), 5);
        assert_false(tl_process_receive(e.fd[1], &e.in, &kind, &fields));
        close_ends(&e);
    }
}

static void a_field_longer_than_its_frame_is_none(void **state)
{
    (void)state;
    static const char bytes[] = "\x09\0\0\0abc";
    struct tl_str fields = {bytes, sizeof bytes - 1};
    assert_int_equal(tl_process_take(&fields).n, 0);
    assert_int_equal(fields.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_arrive_as_they_were_put),
        cmocka_unit_test(a_peer_that_is_gone_is_no_frame),
        cmocka_unit_test(what_is_no_frame_is_refused),
        cmocka_unit_test(a_field_longer_than_its_frame_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
