/* See loop.h. One async handle serves wake and stop; flags tell which. */
#include "io/loop.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"
#include "io/loop_int.h"

struct tl_loop {
    uv_loop_t uv;
    uv_async_t async;
    uv_signal_t interrupt, terminate, hangup;
    bool stop_signals, hangup_signal; /* handles are initialised */
    bool (*on_stop)(void *ud, int signal, unsigned count);
    void *on_stop_ud;
    unsigned stop_count;
    void (*on_hangup)(void *ud);
    void *on_hangup_ud;
    void (*on_wake)(void *ud);
    void *on_wake_ud;
    atomic_bool woken, stop;
    struct tl_list timers;
    struct tl_list watches;
};

struct tl_loop_watch {
    uv_fs_event_t uv;
    struct tl_list node;
    void (*fn)(void *ud, const char *name);
    void *ud;
};

struct tl_loop_timer {
    uv_timer_t uv;
    struct tl_list node;
    void (*fn)(void *ud);
    void *ud;
};

static tl_rc uv_error(struct tl_error *err, int code, const char *what)
{
    return tl_error_set(err, TL_EIO, "%s: %s", what, uv_strerror(code));
}

static void async_came(uv_async_t *handle)
{
    struct tl_loop *l = handle->data;
    if (atomic_exchange(&l->woken, false) && l->on_wake) {
        l->on_wake(l->on_wake_ud);
    }
    if (atomic_load(&l->stop)) {
        uv_stop(&l->uv);
    }
}

tl_rc tl_loop_open(struct tl_loop **out, struct tl_error *err)
{
    struct tl_loop *l = TL_NEW(struct tl_loop);
    *out = NULL;
    tl_list_init(&l->timers);
    tl_list_init(&l->watches);
    int rc = uv_loop_init(&l->uv);
    if (rc) {
        tl_mem_free(l);
        return uv_error(err, rc, "event loop");
    }
    rc = uv_async_init(&l->uv, &l->async, async_came);
    if (rc) {
        uv_loop_close(&l->uv);
        tl_mem_free(l);
        return uv_error(err, rc, "event loop");
    }
    l->async.data = l;
    *out = l;
    return TL_OK;
}

static void timer_closed(uv_handle_t *handle)
{
    tl_mem_free(TL_CONTAINER(handle, struct tl_loop_timer, uv));
}

void tl_loop_timer_cancel(struct tl_loop_timer *t)
{
    if (t) {
        tl_list_remove(&t->node);
        uv_close((uv_handle_t *)&t->uv, timer_closed);
    }
}

static void watch_closed(uv_handle_t *handle)
{
    tl_mem_free(TL_CONTAINER(handle, struct tl_loop_watch, uv));
}

void tl_loop_watch_cancel(struct tl_loop_watch *w)
{
    if (w) {
        tl_list_remove(&w->node);
        uv_close((uv_handle_t *)&w->uv, watch_closed);
    }
}

static void watch_fired(uv_fs_event_t *handle, const char *name, int events, int status)
{
    struct tl_loop_watch *w = TL_CONTAINER(handle, struct tl_loop_watch, uv);
    (void)events;
    if (status == 0) {
        w->fn(w->ud, name);
    }
}

tl_rc tl_loop_watch(struct tl_loop *l, const char *folder, struct tl_loop_watch **out,
                    void (*fn)(void *ud, const char *name), void *ud, struct tl_error *err)
{
    struct tl_loop_watch *w = TL_NEW(struct tl_loop_watch);
    *out = NULL;
    w->fn = fn;
    w->ud = ud;
    uv_fs_event_init(&l->uv, &w->uv);
    tl_list_push(&l->watches, &w->node);
    int rc = uv_fs_event_start(&w->uv, watch_fired, folder, 0);
    if (rc) {
        tl_loop_watch_cancel(w);
        return uv_error(err, rc, folder);
    }
    *out = w;
    return TL_OK;
}

void tl_loop_close(struct tl_loop *l)
{
    if (!l) {
        return;
    }
    TL_LIST_EACH (n, &l->timers) {
        tl_loop_timer_cancel(TL_CONTAINER(n, struct tl_loop_timer, node));
    }
    TL_LIST_EACH (n, &l->watches) {
        tl_loop_watch_cancel(TL_CONTAINER(n, struct tl_loop_watch, node));
    }
    if (l->stop_signals) {
        uv_close((uv_handle_t *)&l->interrupt, NULL);
        uv_close((uv_handle_t *)&l->terminate, NULL);
    }
    if (l->hangup_signal) {
        uv_close((uv_handle_t *)&l->hangup, NULL);
    }
    uv_close((uv_handle_t *)&l->async, NULL);
    while (uv_loop_close(&l->uv) == UV_EBUSY) {
        uv_run(&l->uv, UV_RUN_ONCE); /* serves the close callbacks */
    }
    tl_mem_free(l);
}

static void stop_came(uv_signal_t *handle, int signal_number)
{
    struct tl_loop *l = handle->data;
    l->stop_count++;
    if (!l->on_stop(l->on_stop_ud, signal_number, l->stop_count)) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
    }
}

static void hangup_came(uv_signal_t *handle, int signal_number)
{
    struct tl_loop *l = handle->data;
    (void)signal_number;
    l->on_hangup(l->on_hangup_ud);
}

tl_rc tl_loop_on_stop(struct tl_loop *l, bool (*fn)(void *ud, int signal, unsigned count), void *ud,
                      struct tl_error *err)
{
    l->on_stop = fn;
    l->on_stop_ud = ud;
    if (l->stop_signals) {
        return TL_OK;
    }
    uv_signal_init(&l->uv, &l->interrupt);
    uv_signal_init(&l->uv, &l->terminate);
    l->interrupt.data = l->terminate.data = l;
    l->stop_signals = true;
    int rc = uv_signal_start(&l->interrupt, stop_came, SIGINT);
    if (rc == 0) {
        rc = uv_signal_start(&l->terminate, stop_came, SIGTERM);
    }
    return rc ? uv_error(err, rc, "signal handling") : TL_OK;
}

tl_rc tl_loop_on_hangup(struct tl_loop *l, void (*fn)(void *ud), void *ud, struct tl_error *err)
{
    l->on_hangup = fn;
    l->on_hangup_ud = ud;
    if (l->hangup_signal) {
        return TL_OK;
    }
    uv_signal_init(&l->uv, &l->hangup);
    l->hangup.data = l;
    l->hangup_signal = true;
    int rc = uv_signal_start(&l->hangup, hangup_came, SIGHUP);
    return rc ? uv_error(err, rc, "signal handling") : TL_OK;
}

static void timer_fired(uv_timer_t *handle)
{
    struct tl_loop_timer *t = TL_CONTAINER(handle, struct tl_loop_timer, uv);
    t->fn(t->ud);
}

struct tl_loop_timer *tl_loop_timer_start(struct tl_loop *l, int64_t delay_ms, int64_t repeat_ms,
                                          void (*fn)(void *ud), void *ud)
{
    struct tl_loop_timer *t = TL_NEW(struct tl_loop_timer);
    t->fn = fn;
    t->ud = ud;
    uv_timer_init(&l->uv, &t->uv);
    uv_update_time(&l->uv);
    uv_timer_start(&t->uv, timer_fired, delay_ms > 0 ? (uint64_t)delay_ms : 0,
                   repeat_ms > 0 ? (uint64_t)repeat_ms : 0);
    tl_list_push(&l->timers, &t->node);
    return t;
}

void tl_loop_on_wake(struct tl_loop *l, void (*fn)(void *ud), void *ud)
{
    l->on_wake = fn;
    l->on_wake_ud = ud;
}

void tl_loop_wake(struct tl_loop *l)
{
    atomic_store(&l->woken, true);
    uv_async_send(&l->async);
}

void tl_loop_run(struct tl_loop *l)
{
    while (!atomic_load(&l->stop)) {
        uv_run(&l->uv, UV_RUN_DEFAULT);
    }
    atomic_store(&l->stop, false);
}

void tl_loop_post_stop(struct tl_loop *l)
{
    atomic_store(&l->stop, true);
    uv_async_send(&l->async);
}

/* --- sharing ---------------------------------------------------------------------------------- */

uv_loop_t *tl_loop_uv(struct tl_loop *l)
{
    return &l->uv;
}

void *tl_loop_native(struct tl_loop *l)
{
    return &l->uv;
}

const void *tl_loop_library(void)
{
    unsigned (*version)(void) = uv_version;
    const void *address;
    memcpy(&address, &version, sizeof address);
    return address;
}

/* Handles of ours carry nothing, or the loop. */
static void close_foreign(uv_handle_t *handle, void *ud)
{
    if (handle->data && handle->data != ud && !uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

bool tl_loop_drain(struct tl_loop *l, int64_t wait_ms)
{
    const struct timespec ms = {0, 1000000};
    uv_walk(&l->uv, close_foreign, l);
    uv_unref((uv_handle_t *)&l->async);
    while (uv_run(&l->uv, UV_RUN_NOWAIT) != 0 && wait_ms-- > 0) {
        nanosleep(&ms, NULL);
    }
    bool done = !uv_loop_alive(&l->uv);
    uv_ref((uv_handle_t *)&l->async);
    return done;
}
