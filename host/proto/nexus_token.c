/* See nexus_token.h. */
#include "proto/nexus_token.h"

#include "proto/base64.h"
#include "proto/jsonv.h"
#include "proto/pb.h"

#define TOKEN_BYTES_MAX ((size_t)1 << 16)
#define KIND_WORKFLOW 1

static char *url_safe(struct tl_arena *arena, struct tl_str b64)
{
    while (b64.n && b64.p[b64.n - 1] == '=') {
        b64.n--;
    }
    char *text = tl_pb_cstr(arena, b64);
    for (char *c = text; c && *c; c++) {
        *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
    }
    return text;
}

char *tl_nexus_workflow_token(struct tl_arena *arena, struct tl_str namespace_,
                              struct tl_str workflow_id)
{
    struct tl_buf json, b64;
    struct tl_jw w;
    tl_buf_init(&json, TOKEN_BYTES_MAX);
    tl_buf_init(&b64, 2 * TOKEN_BYTES_MAX);
    tl_jw_init(&w, &json, 0, 2);
    tl_jw_object(&w);
    tl_jw_name(&w, TL_STR_LIT("t"));
    tl_jw_int(&w, KIND_WORKFLOW);
    tl_jw_name(&w, TL_STR_LIT("ns"));
    tl_jw_string(&w, namespace_);
    tl_jw_name(&w, TL_STR_LIT("wid"));
    tl_jw_string(&w, workflow_id);
    tl_jw_object_end(&w);
    bool ok = tl_jw_finish(&w, NULL) == TL_OK && tl_base64_encode(tl_buf_str(&json), &b64);
    char *text = ok ? url_safe(arena, tl_buf_str(&b64)) : NULL;
    tl_buf_deinit(&json);
    tl_buf_deinit(&b64);
    return text;
}

struct fields {
    struct tl_nexus_workflow workflow;
    int64_t kind, version;
};

/* Keeps the value of the member that the token before it named. */
static void take(struct fields *f, struct tl_str name, const struct tl_jtok *t,
                 struct tl_arena *arena)
{
    bool text = t->kind == TL_J_STRING, number = t->kind == TL_J_INT;
    if (text && tl_str_eqc(name, "ns")) {
        f->workflow.namespace_ = tl_arena_str(arena, t->text);
    } else if (text && tl_str_eqc(name, "wid")) {
        f->workflow.workflow_id = tl_arena_str(arena, t->text);
    } else if (number && tl_str_eqc(name, "t")) {
        f->kind = t->i;
    } else if (number && tl_str_eqc(name, "v")) {
        f->version = t->i;
    }
}

static tl_rc read_json(struct tl_str json, struct tl_arena *arena, struct fields *f)
{
    struct tl_jreader r;
    struct tl_jtok t;
    struct tl_str name = {0};
    tl_jreader_init(&r, json, 0, 4);
    tl_rc rc = tl_jtok_next(&r, &t, NULL);
    rc = rc == TL_OK && t.kind != TL_J_OBJECT ? TL_EDECODE : rc;
    while (rc == TL_OK && (rc = tl_jtok_next(&r, &t, NULL)) == TL_OK && t.kind != TL_J_END) {
        if (t.kind == TL_J_NAME) {
            name = tl_arena_str(arena, t.text);
        } else if (t.kind == TL_J_OBJECT || t.kind == TL_J_ARRAY) {
            rc = tl_jtok_skip(&r, &t, NULL);
        } else {
            take(f, name, &t, arena);
        }
    }
    tl_jreader_deinit(&r);
    return rc;
}

tl_rc tl_nexus_workflow_of_token(struct tl_str token, struct tl_arena *arena,
                                 struct tl_nexus_workflow *out, struct tl_error *err)
{
    struct fields f = {.kind = 0};
    size_t n = 0;
    char *json = token.n ? tl_arena_alloc(arena, tl_base64_decoded_max(token.n) + 1) : NULL;
    if (!json || !tl_base64_decode(token, json, &n) ||
        read_json(tl_str_n(json, n), arena, &f) != TL_OK) {
        return tl_error_set(err, TL_ENOTFOUND,
                            "the operation token is none of a workflow: it was not made by a "
                            "Temporal SDK");
    }
    if (f.kind != KIND_WORKFLOW || f.version != 0 || !f.workflow.workflow_id.n) {
        return tl_error_set(err, TL_ENOTFOUND,
                            f.kind == KIND_WORKFLOW && f.version != 0
                                ? "the operation token has a version that is not known here"
                                : "the operation token names no workflow");
    }
    *out = f.workflow;
    return TL_OK;
}
