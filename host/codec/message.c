/* Coding of whole messages. See message.h. */
#include "codec/message.h"

#include "base/limits.h"
#include "proto/jsonv.h"
#include "proto/payload.h"
#include "proto/pb.h"

/* What other SDKs put in the place of a hidden message. */
#define HIDDEN_MESSAGE "Encoded failure"

bool tl_coder_concerns(enum tl_method method)
{
    const struct tl_method_info *info = tl_method_info(method);
    return tl_payload_walk_concerns(info->input) || tl_payload_walk_concerns(info->output);
}

static bool codes_headers(const struct tl_coder *c, enum tl_method method)
{
    bool of_workflow_task = method == TL_M_PollWorkflowTaskQueue ||
                            method == TL_M_RespondWorkflowTaskCompleted ||
                            method == TL_M_RespondQueryTaskCompleted;
    return c->headers == TL_HEADERS_CODED ||
           (c->headers == TL_HEADERS_WORKFLOW_ONLY && of_workflow_task);
}

/* Moves message and stack trace into encoded_attributes, unless something is there already. */
static tl_rc hide_attributes(TpFailure__Failure *failure, struct tl_arena *arena,
                             struct tl_error *err)
{
    struct tl_buf text;
    struct tl_jw w;
    if (failure->encoded_attributes) {
        return TL_OK;
    }
    tl_buf_init(&text, (size_t)tl_limit_request_bytes);
    tl_jw_init(&w, &text, 0, 2);
    tl_jw_object(&w);
    tl_jw_name(&w, TL_STR_LIT("message"));
    tl_jw_string(&w, tl_str(failure->message));
    tl_jw_name(&w, TL_STR_LIT("stack_trace"));
    tl_jw_string(&w, tl_str(failure->stack_trace));
    tl_jw_object_end(&w);
    tl_rc rc = tl_jw_finish(&w, err);
    if (rc == TL_OK) {
        failure->encoded_attributes = tl_payload_json(arena, tl_buf_str(&text));
        failure->message = tl_pb_cstr(arena, TL_STR_LIT(HIDDEN_MESSAGE));
        failure->stack_trace = tl_pb_cstr(arena, (struct tl_str){NULL, 0});
        bool whole = failure->encoded_attributes && failure->message && failure->stack_trace;
        rc = whole ? TL_OK : tl_error_set(err, TL_ELIMIT, "a failure is too large");
    }
    tl_buf_deinit(&text);
    return rc;
}

/* One message on its way through a coder. */
struct coding {
    struct tl_coder *coder;
    enum tl_codec_way way;
    struct tl_context_walk walk; /* with contexts only */
};

static tl_rc code_span(void *ud, struct tl_payload_span *span, struct tl_arena *arena,
                       struct tl_error *err)
{
    struct coding *c = ud;
    span->context = c->coder->contexts ? tl_context_walk_now(&c->walk) : NULL;
    return tl_codec_chain_apply(c->coder->chain, c->way, span, arena, err);
}

static tl_rc enter(void *ud, const void *msg, struct tl_arena *arena, struct tl_error *err)
{
    struct coding *c = ud;
    return tl_context_walk_enter(&c->walk, msg, arena, err);
}

static void leave(void *ud)
{
    struct coding *c = ud;
    tl_context_walk_leave(&c->walk);
}

static tl_rc hide(void *ud, TpFailure__Failure *failure, struct tl_arena *arena,
                  struct tl_error *err)
{
    (void)ud;
    return hide_attributes(failure, arena, err);
}

/* Finds out whose payloads a call has, when somebody asks. */
static tl_rc begin_contexts(struct coding *c, struct tl_payload_visitor *v, enum tl_method method,
                            struct tl_str request, struct tl_arena *arena, struct tl_error *err)
{
    const struct tl_method_info *info = tl_method_info(method);
    struct tl_contexts *contexts = c->coder->contexts;
    void *msg;
    if (!contexts) {
        return TL_OK;
    }
    tl_rc rc = tl_pb_decode(info->input, request, arena, &msg, err);
    if (rc == TL_OK) {
        tl_context_walk_begin(&c->walk, contexts, c->way, msg, arena);
        v->enter = enter;
        v->leave = leave;
        if (c->way == TL_CODEC_DECODE && strncmp(info->name, "Respond", strlen("Respond")) == 0) {
            tl_contexts_forget(contexts, msg, arena);
        }
    }
    return rc;
}

tl_rc tl_coder_body(struct tl_coder *c, enum tl_method method, enum tl_codec_way way,
                    struct tl_str request, struct tl_str bytes, struct tl_arena *arena,
                    struct tl_str *out, struct tl_error *err)
{
    struct coding coding = {.coder = c, .way = way};
    const struct tl_method_info *info = tl_method_info(method);
    bool encode = way == TL_CODEC_ENCODE;
    const ProtobufCMessageDescriptor *desc = encode ? info->input : info->output;
    struct tl_payload_visitor v = {
        .ud = &coding,
        .headers = codes_headers(c, method),
        .payloads = code_span,
        .failure = encode && c->encode_common_attributes ? hide : NULL,
    };
    void *msg;
    *out = bytes;
    tl_rc rc = begin_contexts(&coding, &v, method, request, arena, err);
    if (rc != TL_OK || !tl_payload_walk_concerns(desc) || bytes.n == 0) {
        return rc;
    }
    rc = tl_pb_decode(desc, bytes, arena, &msg, err);
    if (rc == TL_OK) {
        rc = tl_payload_walk(msg, &v, arena, err);
    }
    return rc == TL_OK ? tl_pb_encode_arena(msg, arena, out, err) : rc;
}

struct tl_str tl_coder_details(struct tl_coder *c, enum tl_method method, struct tl_str request,
                               struct tl_str details, struct tl_arena *arena)
{
    const ProtobufCMessageDescriptor *desc = tl_pb_find_message(TL_STR_LIT("google.rpc.Status"));
    struct coding coding = {.coder = c, .way = TL_CODEC_DECODE};
    struct tl_payload_visitor v = {.ud = &coding, .payloads = code_span};
    struct tl_str out;
    void *msg, *asked;
    if (!details.n || !desc || tl_pb_decode(desc, details, arena, &msg, NULL) != TL_OK) {
        return details;
    }
    if (c->contexts &&
        tl_pb_decode(tl_method_info(method)->input, request, arena, &asked, NULL) == TL_OK) {
        tl_context_walk_begin(&coding.walk, c->contexts, TL_CODEC_DECODE, asked, arena);
    }
    bool coded = tl_payload_walk(msg, &v, arena, NULL) == TL_OK &&
                 tl_pb_encode_arena(msg, arena, &out, NULL) == TL_OK;
    return coded ? out : details;
}
