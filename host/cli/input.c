/* See input.h. */
#include "cli/input.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/base64.h"
#include "proto/payload.h"

#define JSON_DEPTH 1000

bool tl_cli_is_json(struct tl_str text)
{
    struct tl_jreader r;
    struct tl_jtok t = {.kind = TL_J_NULL};
    tl_rc rc = TL_OK;
    tl_jreader_init(&r, text, TL_JREAD_LONE_SURROGATES, JSON_DEPTH);
    do {
        rc = tl_jtok_next(&r, &t, NULL);
    } while (rc == TL_OK && t.kind != TL_J_END);
    tl_jreader_deinit(&r);
    return rc == TL_OK;
}

struct input {
    struct tl_cli_session *s;
    const char *prefix;
    struct tl_pb_list data; /* of struct tl_str */
    struct tl_pb_list payloads;
};

/* The name of one of the options, as the table has it. */
static const char *named(char name[40], const struct input *in, const char *what)
{
    snprintf(name, 40, "%sinput%s", in->prefix, what);
    return name;
}

static bool add_data(struct input *in, struct tl_str text)
{
    struct tl_str *copy = TL_ARENA_NEW(&in->s->arena, struct tl_str);
    struct tl_str bytes = tl_arena_str(&in->s->arena, text);
    if (!copy || (text.n && !bytes.p)) {
        return false;
    }
    *copy = bytes;
    return tl_pb_push(&in->s->arena, &in->data, copy);
}

static int add_files(struct input *in, const char *const *files)
{
    for (; *files; files++) {
        struct tl_error err;
        char *text;
        size_t n;
        if (tl_cli_read_file(*files, &text, &n, &err) != TL_OK) {
            return tl_cli_fail(1, "%s", err.message);
        }
        bool ok = add_data(in, tl_str_n(text, n));
        tl_mem_free(text);
        if (!ok) {
            return tl_cli_fail(1, "%s: the input is too large", *files);
        }
    }
    return 0;
}

/* Replaces the data by what it is the base64 text of. */
static int decode_base64(struct input *in)
{
    for (size_t i = 0; i < in->data.n; i++) {
        struct tl_str *data = ((struct tl_str **)in->data.items)[i];
        while (data->n && (data->p[data->n - 1] == '\n' || data->p[data->n - 1] == '\r')) {
            data->n--;
        }
        char *bytes = tl_arena_alloc(&in->s->arena, tl_base64_decoded_max(data->n) + 1);
        size_t n = 0;
        if (!bytes || !tl_base64_decode(*data, bytes, &n)) {
            return tl_cli_fail(2, "input #%zu is not valid base64", i + 1);
        }
        *data = tl_str_n(bytes, n);
    }
    return 0;
}

/* The n-th value of a metadata key for the n-th input; the first one for inputs that have none. */
static const char *meta_value(const char *const *metas, const char *key, size_t key_n, size_t index)
{
    const char *first = NULL;
    size_t seen = 0;
    for (; *metas; metas++) {
        if (strncmp(*metas, key, key_n) == 0 && (*metas)[key_n] == '=') {
            const char *value = *metas + key_n + 1;
            first = first ? first : value;
            if (seen++ == index) {
                return value;
            }
        }
    }
    return first;
}

static bool set_metadata(struct input *in, TpCommon__Payload *p, const char *const *metas,
                         size_t index)
{
    for (const char *const *m = metas; *m; m++) {
        size_t n = (size_t)(strchr(*m, '=') - *m);
        if (!tl_payload_set_metadata(&in->s->arena, p, tl_str_n(*m, n),
                                     tl_str(meta_value(metas, *m, n, index)))) {
            return false;
        }
    }
    return true;
}

static int check_meta(const struct input *in, const char *const *metas)
{
    for (const char *const *m = metas; *m; m++) {
        const char *equals = strchr(*m, '=');
        size_t same = 0, n = equals ? (size_t)(equals - *m) : 0;
        if (n == 0) {
            return tl_cli_fail(2, "--%sinput-meta wants KEY=VALUE, got '%s'", in->prefix, *m);
        }
        for (const char *const *other = metas; *other; other++) {
            same += strncmp(*other, *m, n + 1) == 0;
        }
        if (same > 1 && same > in->data.n) {
            return tl_cli_fail(2, "--%sinput-meta: more values of '%.*s' than inputs", in->prefix,
                               (int)n, *m);
        }
    }
    return 0;
}

static int make_payloads(struct input *in, const char *const *metas)
{
    for (size_t i = 0; i < in->data.n; i++) {
        struct tl_str data = *((struct tl_str **)in->data.items)[i];
        const char *encoding = meta_value(metas, "encoding", strlen("encoding"), i);
        encoding = encoding ? encoding : TL_ENCODING_JSON;
        if (strncmp(encoding, "json/", 5) == 0 && !tl_cli_is_json(data)) {
            return tl_cli_fail(2, "input #%zu is not valid JSON", i + 1);
        }
        TpCommon__Payload *p = tl_payload_new(&in->s->arena, encoding, data);
        if (!p || !set_metadata(in, p, metas, i) || !tl_pb_push(&in->s->arena, &in->payloads, p)) {
            return tl_cli_fail(1, "the input is too large");
        }
    }
    return 0;
}

int tl_cli_input(struct tl_cli_session *s, const char *prefix, TpCommon__Payloads **out)
{
    struct input in = {.s = s, .prefix = prefix};
    char name[40];
    const char *const *texts = tl_cli_texts(s->cli, named(name, &in, ""));
    const char *const *files = tl_cli_texts(s->cli, named(name, &in, "-file"));
    const char *const *metas = tl_cli_texts(s->cli, named(name, &in, "-meta"));
    bool base64 = tl_cli_flag(s->cli, named(name, &in, "-base64"));
    int code = 0;
    *out = NULL;
    if (*texts && *files) {
        return tl_cli_fail(2, "--%sinput and --%sinput-file exclude each other", prefix, prefix);
    }
    for (; *texts; texts++) {
        if (!add_data(&in, tl_str(*texts))) {
            return tl_cli_fail(1, "the input is too large");
        }
    }
    code = add_files(&in, files);
    code = code ? code : check_meta(&in, metas);
    code = code || !base64 ? code : decode_base64(&in);
    code = code ? code : make_payloads(&in, metas);
    if (code == 0 && in.payloads.n) {
        *out = tl_payloads_new(&s->arena, in.payloads.items, in.payloads.n);
    }
    return code;
}

/* --- KEY=JSON ----------------------------------------------------------------------------------- */

/* Every map from strings to payloads has entries of this shape. */
_Static_assert(offsetof(TpCommon__Memo__FieldsEntry, value) ==
                       offsetof(TpCommon__Header__FieldsEntry, value) &&
                   offsetof(TpCommon__Memo__FieldsEntry, value) ==
                       offsetof(TpCommon__SearchAttributes__IndexedFieldsEntry, value),
               "entries of payload maps");

int tl_cli_json_entries(struct tl_cli_session *s, const char *option,
                        const ProtobufCMessageDescriptor *entry, struct tl_pb_list *out)
{
    TL_ASSERT(entry->sizeof_message == sizeof(TpCommon__Memo__FieldsEntry));
    for (const char *const *text = tl_cli_texts(s->cli, option); *text; text++) {
        const char *equals = strchr(*text, '=');
        if (!equals || equals == *text) {
            return tl_cli_fail(2, "--%s wants KEY=JSON, got '%s'", option, *text);
        }
        struct tl_str json = tl_str(equals + 1), key = tl_str_n(*text, (size_t)(equals - *text));
        if (!tl_cli_is_json(json)) {
            return tl_cli_fail(2, "--%s: the value of '%.*s' is not valid JSON", option,
                               TL_STR_FMT(key));
        }
        TpCommon__Memo__FieldsEntry *e = tl_pb_new(&s->arena, entry);
        if (e) {
            e->key = tl_pb_cstr(&s->arena, key);
            e->value = tl_str_eqc(json, "null") ? tl_payload_null(&s->arena)
                                                : tl_payload_json(&s->arena, json);
        }
        if (!e || !e->key || !e->value || !tl_pb_push(&s->arena, out, e)) {
            return tl_cli_fail(1, "--%s: the values are too large", option);
        }
    }
    return 0;
}

int tl_cli_headers(struct tl_cli_session *s, TpCommon__Header **out)
{
    struct tl_pb_list list = {0};
    int code =
        tl_cli_json_entries(s, "headers", &tp_common__header__fields_entry__descriptor, &list);
    *out = NULL;
    if (code == 0 && list.n) {
        *out = TL_PB_NEW(&s->arena, TpCommon__Header, tp_common__header);
        if (!*out) {
            return tl_cli_fail(1, "--headers: the values are too large");
        }
        (*out)->n_fields = list.n;
        (*out)->fields = list.items;
    }
    return code;
}
