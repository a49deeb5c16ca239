/* Values of search attributes: checking what comes in, and what goes into the index. See
 * attributes.h. */
#include <ctype.h>

#include "base/limits.h"
#include "proto/jsonv.h"
#include "proto/payload.h"
#include "server/visibility/attributes.h"
#include "server/visibility/filter.h"
#include "tl_enums.h"

#define LIST_MAX 1000

static tl_rc bad(void)
{
    return TL_EINVAL;
}

/* One JSON scalar as a value of the type. */
static tl_rc scalar(const struct tl_jtok *t, int type, struct tl_arena *arena, struct tl_value *v)
{
    switch (type) {
    case INDEXED_VALUE_TYPE_BOOL:
        *v = (struct tl_value){.kind = TL_VALUE_INT, .num = t->b};
        return t->kind == TL_J_BOOL ? TL_OK : bad();
    case INDEXED_VALUE_TYPE_INT:
        *v = (struct tl_value){.kind = TL_VALUE_INT, .num = t->i};
        return t->kind == TL_J_INT ? TL_OK : bad();
    case INDEXED_VALUE_TYPE_DOUBLE:
        *v = (struct tl_value){.kind = TL_VALUE_DOUBLE, .real = t->d};
        return t->kind == TL_J_INT || t->kind == TL_J_DOUBLE ? TL_OK : bad();
    case INDEXED_VALUE_TYPE_DATETIME:
        *v = (struct tl_value){.kind = TL_VALUE_INT};
        return t->kind == TL_J_STRING ? tl_filter_time(t->text, &v->num, NULL) : bad();
    default:
        if (t->kind != TL_J_STRING) {
            return bad();
        }
        *v = (struct tl_value){.kind = TL_VALUE_TEXT, .text = tl_arena_str(arena, t->text)};
        return v->text.p ? TL_OK : TL_ELIMIT;
    }
}

/* The values of a JSON text, at most `room` of them. */
static tl_rc read_json(struct tl_jreader *r, int type, struct tl_arena *arena,
                       struct tl_value *items, size_t room, size_t *count)
{
    struct tl_jtok t;
    bool list = false;
    tl_rc rc = tl_jtok_next(r, &t, NULL);
    if (rc == TL_OK && t.kind == TL_J_ARRAY) {
        list = true;
        rc = tl_jtok_next(r, &t, NULL);
    } else if (rc == TL_OK && type == INDEXED_VALUE_TYPE_KEYWORD_LIST && t.kind != TL_J_NULL) {
        return bad();
    }
    while (rc == TL_OK && t.kind != TL_J_ARRAY_END && t.kind != TL_J_END) {
        if (t.kind != TL_J_NULL) {
            rc = *count < room ? scalar(&t, type, arena, &items[*count]) : bad();
            (*count)++;
        }
        rc = rc == TL_OK ? tl_jtok_next(r, &t, NULL) : rc;
    }
    return rc == TL_OK && list ? tl_jtok_next(r, &t, NULL) : rc; /* the end */
}

/* Decodes a payload as a value of the type: one item; a keyword list one per element; none when it is
 * null. Text is given whole. Owns: the arena. Errors: TL_EINVAL without a message of its own. */
static tl_rc decode_values(const TpCommon__Payload *p, int type, struct tl_arena *arena,
                           struct tl_value **items, size_t *count)
{
    struct tl_jreader r;
    enum tl_payload_kind kind = p ? tl_payload_kind(p) : TL_PAYLOAD_NULL;
    *count = 0;
    *items = NULL;
    if (kind == TL_PAYLOAD_NULL) {
        return TL_OK;
    }
    if (kind != TL_PAYLOAD_JSON) {
        return bad();
    }
    /* A list of one may stand for a value of another type. */
    struct tl_str data = tl_payload_data(p);
    size_t room = type == INDEXED_VALUE_TYPE_KEYWORD_LIST ? data.n / 2 + 1 : 1;
    room = room < LIST_MAX ? room : LIST_MAX;
    if (!(*items = TL_ARENA_ARRAY(arena, struct tl_value, room))) {
        return TL_ELIMIT;
    }
    tl_jreader_init(&r, data, 0, 4);
    tl_rc rc = read_json(&r, type, arena, *items, room, count);
    tl_jreader_deinit(&r);
    return rc == TL_OK || rc == TL_ELIMIT ? rc : bad();
}

/* --- checking -------------------------------------------------------------------------------------- */

/* How a value is shown in an error: the text of a string, other JSON as it stands. */
static struct tl_str shown(const TpCommon__Payload *p, struct tl_arena *arena)
{
    struct tl_str text;
    if (tl_payload_text(p, arena, &text, NULL) == TL_OK) {
        return text;
    }
    return tl_payload_kind(p) == TL_PAYLOAD_JSON ? tl_payload_data(p)
                                                 : TL_STR_LIT("value that is not JSON");
}

static tl_rc check_one(const struct tl_attrs *custom, struct tl_str namespace_name,
                       TpCommon__SearchAttributes__IndexedFieldsEntry *e, struct tl_arena *arena,
                       struct tl_error *err)
{
    struct tl_value *items;
    size_t count;
    struct tl_str name = tl_str(e->key);
    if (!tl_attr_settable(name)) {
        return tl_error_set(err, TL_EINVAL, "%s attribute can't be set in SearchAttributes",
                            e->key);
    }
    int type = tl_attrs_type(custom, name);
    if (!type) {
        return tl_error_set(err, TL_EINVAL,
                            "Namespace %.*s has no mapping defined for search attribute %s",
                            TL_STR_FMT(namespace_name), e->key);
    }
    tl_rc rc = decode_values(e->value, type, arena, &items, &count);
    if (rc == TL_EINVAL) {
        struct tl_str text = shown(e->value, arena);
        return tl_error_set(err, rc, "invalid value for search attribute %s of type %s: %.*s",
                            e->key, tl_attr_type_name(type), text.n > 200 ? 200 : (int)text.n,
                            text.p ? text.p : "");
    }
    if (rc == TL_OK && e->value &&
        !tl_payload_set_metadata(arena, e->value, TL_STR_LIT("type"),
                                 tl_str(tl_attr_type_name(type)))) {
        rc = TL_ELIMIT;
    }
    return rc == TL_OK ? rc : tl_error_set(err, rc, "the search attributes are too large");
}

tl_rc tl_attrs_check(const struct tl_attrs *custom, struct tl_str namespace_name,
                     const TpCommon__SearchAttributes *sa, struct tl_arena *arena,
                     struct tl_error *err)
{
    tl_rc rc = TL_OK;
    if (sa && (int64_t)sa->n_indexed_fields > tl_limit_search_attribute_keys) {
        return tl_error_set(err, TL_EINVAL, "number of search attributes %zu exceeds limit %lld",
                            sa->n_indexed_fields, (long long)tl_limit_search_attribute_keys);
    }
    for (size_t i = 0; sa && rc == TL_OK && i < sa->n_indexed_fields; i++) {
        rc = check_one(custom, namespace_name, sa->indexed_fields[i], arena, err);
    }
    return rc;
}

tl_rc tl_attrs_check_size(const TpCommon__SearchAttributes *sa, struct tl_error *err)
{
    for (size_t i = 0; sa && i < sa->n_indexed_fields; i++) {
        const TpCommon__SearchAttributes__IndexedFieldsEntry *e = sa->indexed_fields[i];
        if (e->value && (int64_t)e->value->data.len > tl_limit_search_attribute_bytes) {
            return tl_error_set(
                err, TL_ELIMIT, "search attribute %s value size %zu exceeds size limit %lld",
                e->key, e->value->data.len, (long long)tl_limit_search_attribute_bytes);
        }
    }
    size_t total = sa ? tl_pb_size(sa) : 0;
    if ((int64_t)total > tl_limit_search_attributes_bytes) {
        return tl_error_set(err, TL_ELIMIT,
                            "total size of search attributes %zu exceeds size limit %lld", total,
                            (long long)tl_limit_search_attributes_bytes);
    }
    return TL_OK;
}

/* The type that a stored payload was checked against; 0 when it never was. */
static int stored_type(const TpCommon__Payload *p)
{
    int type;
    struct tl_str text = tl_payload_metadata(p, TL_STR_LIT("type"));
    return text.n && tl_attr_type_parse(text, &type, NULL) == TL_OK ? type : 0;
}

void tl_attrs_visible(const struct tl_attrs *custom, TpCommon__SearchAttributes *sa)
{
    size_t n = 0;
    for (size_t i = 0; sa && i < sa->n_indexed_fields; i++) {
        TpCommon__SearchAttributes__IndexedFieldsEntry *e = sa->indexed_fields[i];
        int type = tl_attrs_type(custom, tl_str(e->key)), stored = stored_type(e->value);
        if (type && (type == stored || !stored)) {
            sa->indexed_fields[n++] = e;
        }
    }
    if (sa) {
        sa->n_indexed_fields = n;
    }
}

/* --- the index ------------------------------------------------------------------------------------- */

const char *tl_attr_key(int64_t namespace_number, int type, struct tl_str name,
                        struct tl_arena *arena)
{
    return tl_arena_printf(arena, "%lld/%d/%.*s", (long long)namespace_number, type,
                           TL_STR_FMT(name));
}

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || (c & 0x80);
}

bool tl_attr_words(struct tl_str text, struct tl_arena *arena,
                   bool (*fn)(void *ud, struct tl_str word), void *ud)
{
    for (size_t i = 0, end; i < text.n; i = end) {
        end = i + 1;
        if (!in_word(text.p[i])) {
            continue;
        }
        while (end < text.n && in_word(text.p[end])) {
            end++;
        }
        char *word = tl_arena_copy(arena, text.p + i, end - i);
        for (size_t k = 0; word && k < end - i; k++) {
            word[k] = (char)((word[k] & 0x80) ? word[k] : tolower((unsigned char)word[k]));
        }
        if (!word || !fn(ud, tl_str_n(word, end - i))) {
            return false;
        }
    }
    return true;
}

struct index {
    struct tl_arena *arena;
    struct tl_search_value *items;
    size_t count, room;
    struct tl_str key;
};

static bool add_value(struct index *x, struct tl_value value)
{
    if (x->count == x->room) {
        size_t room = x->room ? x->room * 2 : 8;
        struct tl_search_value *items = TL_ARENA_ARRAY(x->arena, struct tl_search_value, room);
        if (!items) {
            return false;
        }
        if (x->count) {
            memcpy(items, x->items, x->count * sizeof *items);
        }
        x->items = items;
        x->room = room;
    }
    x->items[x->count++] = (struct tl_search_value){x->key, value};
    return true;
}

static bool add_word(void *ud, struct tl_str word)
{
    return add_value(ud, (struct tl_value){.kind = TL_VALUE_TEXT, .text = word});
}

static tl_rc index_one(struct index *x, int64_t namespace_number,
                       const TpCommon__SearchAttributes__IndexedFieldsEntry *e,
                       struct tl_str *division)
{
    struct tl_value *items;
    size_t count;
    struct tl_str name = tl_str(e->key);
    int type = stored_type(e->value);
    type = type ? type : tl_attrs_type(NULL, name);
    if (!type || decode_values(e->value, type, x->arena, &items, &count) != TL_OK || !count) {
        return TL_OK; /* never checked: from a database older than the check */
    }
    if (tl_str_eqc(name, "TemporalNamespaceDivision")) {
        *division = items[0].text;
        return TL_OK; /* a column */
    }
    const char *key = tl_attr_key(namespace_number, type, name, x->arena);
    x->key = tl_str(key);
    if (!key) {
        return TL_ELIMIT;
    }
    if (type == INDEXED_VALUE_TYPE_TEXT) {
        /* The value that is no word tells that there is a text, however few words it has. */
        return add_value(x, (struct tl_value){.kind = TL_VALUE_NULL}) &&
                       tl_attr_words(items[0].text, x->arena, add_word, x)
                   ? TL_OK
                   : TL_ELIMIT;
    }
    for (size_t i = 0; i < count; i++) {
        if (!add_value(x, items[i])) {
            return TL_ELIMIT;
        }
    }
    return TL_OK;
}

tl_rc tl_attrs_index(int64_t namespace_number, struct tl_str encoded, struct tl_arena *arena,
                     const struct tl_search_value **values, size_t *count, struct tl_str *division,
                     struct tl_error *err)
{
    struct index x = {.arena = arena};
    const TpCommon__SearchAttributes *sa = NULL;
    *division = (struct tl_str){0};
    tl_rc rc = encoded.n ? tl_pb_decode(&tp_common__search_attributes__descriptor, encoded, arena,
                                        &sa, err)
                         : TL_OK;
    for (size_t i = 0; rc == TL_OK && sa && i < sa->n_indexed_fields; i++) {
        rc = index_one(&x, namespace_number, sa->indexed_fields[i], division);
        if (rc != TL_OK) {
            rc = tl_error_set(err, rc, "the index of a run's search attributes is too large");
        }
    }
    *values = x.items;
    *count = x.count;
    return rc;
}
