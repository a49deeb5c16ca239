/* Goal: signals, timers and wake-ups reach their callbacks on the loop's thread, and a second signal
 * is told from the first. Method: a real loop; signals raised at the own process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/loop.h"

struct seen {
    struct tl_loop *loop;
    int signals[4];
    unsigned signal_count, fired, woken, hangups;
    bool again;
};

static bool on_stop(void *ud, int signal_number, unsigned count)
{
    struct seen *s = ud;
    s->signals[count - 1] = signal_number;
    s->signal_count = count;
    if (count == 1 && s->again) {
        raise(SIGTERM);
    } else {
        tl_loop_post_stop(s->loop);
    }
    return true;
}

static void raise_interrupt(void *ud)
{
    (void)ud;
    raise(SIGINT);
}

static void two_signals_are_counted(void **state)
{
    (void)state;
    struct seen s = {.again = true};
    assert_int_equal(tl_loop_open(&s.loop, NULL), TL_OK);
    assert_int_equal(tl_loop_on_stop(s.loop, on_stop, &s, NULL), TL_OK);
    tl_loop_timer_start(s.loop, 1, 0, raise_interrupt, NULL);
    tl_loop_run(s.loop);
    assert_int_equal(s.signal_count, 2);
    assert_int_equal(s.signals[0], SIGINT);
    assert_int_equal(s.signals[1], SIGTERM);
    tl_loop_close(s.loop);
}

static bool refuse(void *ud, int signal_number, unsigned count)
{
    (void)ud;
    (void)signal_number;
    (void)count;
    return false;
}

static void an_unanswered_signal_ends_the_process(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct tl_loop *l;
        if (tl_loop_open(&l, NULL) || tl_loop_on_stop(l, refuse, NULL, NULL)) {
            _exit(3);
        }
        tl_loop_timer_start(l, 1, 0, raise_interrupt, NULL);
        tl_loop_run(l);
        _exit(4);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGINT);
}

static void tick(void *ud)
{
    struct seen *s = ud;
    if (++s->fired == 3) {
        tl_loop_post_stop(s->loop);
    }
}

static void never(void *ud)
{
    (void)ud;
    fail();
}

static void timers_repeat_and_can_be_cancelled(void **state)
{
    (void)state;
    struct seen s = {0};
    assert_int_equal(tl_loop_open(&s.loop, NULL), TL_OK);
    struct tl_loop_timer *gone = tl_loop_timer_start(s.loop, 1, 0, never, NULL);
    tl_loop_timer_start(s.loop, 1, 1, tick, &s);
    tl_loop_timer_cancel(gone);
    tl_loop_run(s.loop);
    assert_int_equal(s.fired, 3);
    tl_loop_close(s.loop);
}

static void on_wake(void *ud)
{
    struct seen *s = ud;
    s->woken++;
    tl_loop_post_stop(s->loop);
}

static void *wake_from_elsewhere(void *ud)
{
    struct seen *s = ud;
    tl_loop_wake(s->loop);
    return NULL;
}

static void another_thread_wakes_the_loop(void **state)
{
    (void)state;
    struct seen s = {0};
    pthread_t thread;
    assert_int_equal(tl_loop_open(&s.loop, NULL), TL_OK);
    tl_loop_on_wake(s.loop, on_wake, &s);
    pthread_create(&thread, NULL, wake_from_elsewhere, &s);
    tl_loop_run(s.loop);
    pthread_join(thread, NULL);
    assert_true(s.woken >= 1);
    tl_loop_close(s.loop);
}

static void on_hangup(void *ud)
{
    struct seen *s = ud;
    s->hangups++;
    tl_loop_post_stop(s->loop);
}

static void raise_hangup(void *ud)
{
    (void)ud;
    raise(SIGHUP);
}

static void hangup_is_its_own_signal(void **state)
{
    (void)state;
    struct seen s = {0};
    assert_int_equal(tl_loop_open(&s.loop, NULL), TL_OK);
    assert_int_equal(tl_loop_on_hangup(s.loop, on_hangup, &s, NULL), TL_OK);
    tl_loop_timer_start(s.loop, 1, 0, raise_hangup, NULL);
    tl_loop_run(s.loop);
    assert_int_equal(s.hangups, 1);
    tl_loop_close(s.loop);
}

static void a_stop_before_the_run_is_remembered(void **state)
{
    (void)state;
    struct tl_loop *l;
    assert_int_equal(tl_loop_open(&l, NULL), TL_OK);
    tl_loop_post_stop(l);
    tl_loop_run(l);
    tl_loop_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_signals_are_counted),
        cmocka_unit_test(an_unanswered_signal_ends_the_process),
        cmocka_unit_test(timers_repeat_and_can_be_cancelled),
        cmocka_unit_test(another_thread_wakes_the_loop),
        cmocka_unit_test(hangup_is_its_own_signal),
        cmocka_unit_test(a_stop_before_the_run_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
