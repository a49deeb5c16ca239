/* See answer.h. */
#include "worker/answer.h"

#include "base/limits.h"
#include "proto/pb.h"

tl_rc tl_answer_encode(struct tl_answer *a, enum tl_method method, const void *req,
                       struct tl_arena *arena, struct tl_error *err)
{
    a->method = method;
    return tl_pb_encode_arena(req, arena, &a->bytes, err);
}

tl_rc tl_answer_check_size(const struct tl_worker *w, const char *what, size_t bytes,
                           struct tl_error *err)
{
    if (w->opt.disable_payload_error_limit || bytes <= (size_t)tl_limit_blob_bytes) {
        return TL_OK;
    }
    return tl_error_set(err, TL_ELIMIT,
                        "%s has %zu bytes; at most %lld may be returned: store the data elsewhere "
                        "and return a reference",
                        what, bytes, (long long)tl_limit_blob_bytes);
}

static void ended(struct tl_answer *a)
{
    struct tl_worker *w = a->worker;
    atomic_fetch_sub(&w->answers, 1);
    a->kind->ended(a);
    tl_worker_tick(w);
}

static void send(struct tl_answer *a);

static void send_again(struct tl_timer *t)
{
    send(TL_CONTAINER(t, struct tl_answer, timer));
}

static bool replace(struct tl_answer *a, struct tl_str words, bool too_large)
{
    if (a->replaced) {
        return false;
    }
    a->replaced = true;
    a->retry.attempt = 0;
    return a->kind->replace(a, words, too_large);
}

/* On control: the service did not take the answer, or never got it. */
static void refused(struct tl_reply_to *to, struct tl_rpc_result *res)
{
    struct tl_answer *a = TL_CONTAINER(to, struct tl_answer, to);
    struct tl_worker *w = a->worker;
    bool too_large = tl_rpc_result_is_too_large(res);
    bool again = !too_large && !res->final &&
                 (res->status == STATUS_DEADLINE_EXCEEDED || tl_retry_allowed(res)) &&
                 tl_worker_now(w) < a->until_mono_ns && !atomic_load(&w->giving_up);
    if ((too_large || res->final) && replace(a, res->message, too_large)) {
        send(a);
    } else if (again) {
        tl_worker_lost(w, tl_method_info(res->method)->name, res->status, res->message);
        a->timer.fire = send_again;
        tl_timer_set(&w->control, &a->timer, tl_worker_retry_ns(w, &a->retry, res->status));
    } else {
        a->kind->refused(a, res);
        ended(a);
    }
    tl_rpc_result_free(res);
}

/* On the transport's thread. */
static void taken(struct tl_reply_to *to)
{
    ended(TL_CONTAINER(to, struct tl_answer, to));
}

static void send(struct tl_answer *a)
{
    a->to = (struct tl_reply_to){&a->worker->control, refused, taken};
    tl_worker_call(a->worker, a->method, a->bytes, a->kind->timeout_ns, &a->to);
}

void tl_answer_send(struct tl_answer *a, const struct tl_answer_kind *kind, struct tl_worker *w,
                    int64_t until_mono_ns)
{
    a->kind = kind;
    a->worker = w;
    a->until_mono_ns = until_mono_ns;
    atomic_fetch_add(&w->answers, 1);
    send(a);
}
