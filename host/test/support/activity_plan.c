/* See activity_plan.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/pb.h"
#include "test/support/activity_plan.h"

void plan_run(void *thread_state, void *ud, struct tl_activity *a)
{
    struct plan *p = ud;
    (void)thread_state;
    p->run(p, a);
}

void plan_setup(struct env *e, struct plan *p, void (*run)(struct plan *, struct tl_activity *))
{
    struct tl_activity_impl impl = {plan_run, p};
    env_init(e, NULL);
    *p = (struct plan){.env = e, .run = run};
    assert_int_equal(tl_registry_add(e->registry, TL_STR_LIT("act"), &impl, NULL), TL_OK);
}

TpCommon__Payloads *plan_payloads(struct tl_arena *a, struct tl_str data)
{
    TpCommon__Payloads *list = TL_PB_NEW(a, TpCommon__Payloads, tp_common__payloads);
    TpCommon__Payload *p = TL_PB_NEW(a, TpCommon__Payload, tp_common__payload);
    p->data = tl_pb_bytes(a, data, NULL);
    list->n_payloads = 1;
    list->payloads = tl_arena_copy(a, &p, sizeof p);
    return list;
}

void plan_accept(struct env *e, enum tl_method m)
{
    struct tl_rpc_request *req;
    env_expect(e, m, &req);
    fake_reply_empty(req);
    env_settle(e);
}

void plan_completes(struct plan *p, struct tl_activity *a)
{
    (void)p;
    assert_string_equal(a->task->activity_id, "1");
    assert_true(tl_str_eqc(a->task_queue, "q"));
    tl_activity_complete(a, plan_payloads(a->arena, TL_STR_LIT("42")));
}
