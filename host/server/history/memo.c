/* Merging memos and search attributes: later values replace earlier ones, a null value deletes.
 * Thread: any. Owns: results live in the arena and share payloads with their sources. */
#include "server/history/rs.h"

static struct tl_str encoding_of(const TpCommon__Payload *p)
{
    const TpCommon__Payload__MetadataEntry *m = TL_PB_MAP_GET(
        TpCommon__Payload__MetadataEntry, p->n_metadata, p->metadata, TL_STR_LIT("encoding"));
    return m ? tl_pb_str(m->value) : (struct tl_str){NULL, 0};
}

/* No value, binary/null, or an empty JSON list. */
static bool is_null(const TpCommon__Payload *p)
{
    if (!p) {
        return true;
    }
    struct tl_str encoding = encoding_of(p), data = tl_pb_str(p->data);
    return tl_str_eqc(encoding, "binary/null") ||
           (tl_str_eqc(encoding, "json/plain") && tl_str_eqc(data, "[]"));
}

/* Memo and SearchAttributes have the same shape: a map of string keys to payloads. The two entry
 * types are laid out alike (base, key, value), which the assertions below hold down. */
struct entry {
    ProtobufCMessage base;
    char *key;
    TpCommon__Payload *value;
};
_Static_assert(sizeof(struct entry) == sizeof(TpCommon__Memo__FieldsEntry), "memo entry");
_Static_assert(sizeof(struct entry) == sizeof(TpCommon__SearchAttributes__IndexedFieldsEntry),
               "search attribute entry");

static struct entry *find(struct entry **entries, size_t n, const char *key)
{
    return tl_pb_map_find(entries, n, tl_str(key));
}

static bool merge(struct tl_arena *arena, struct entry **now, size_t now_n, struct entry **upserted,
                  size_t upserted_n, struct tl_pb_list *out)
{
    for (size_t i = 0; i < now_n; i++) {
        const struct entry *newer = find(upserted, upserted_n, now[i]->key);
        const struct entry *kept = newer ? newer : now[i];
        if (!is_null(kept->value) && !tl_pb_push(arena, out, kept)) {
            return false;
        }
    }
    for (size_t i = 0; i < upserted_n; i++) {
        const struct entry *last = find(upserted, upserted_n, upserted[i]->key);
        if (last == upserted[i] && !is_null(last->value) && !(now && find(now, now_n, last->key)) &&
            !tl_pb_push(arena, out, last)) {
            return false;
        }
    }
    return true;
}

TpCommon__Memo *tl_memo_merge(const TpCommon__Memo *current, const TpCommon__Memo *upserted,
                              struct tl_arena *arena)
{
    struct tl_pb_list list = {0};
    TpCommon__Memo *out = TL_PB_NEW(arena, TpCommon__Memo, tp_common__memo);
    if (!out ||
        !merge(arena, current ? (struct entry **)current->fields : NULL,
               current ? current->n_fields : 0, upserted ? (struct entry **)upserted->fields : NULL,
               upserted ? upserted->n_fields : 0, &list)) {
        return NULL;
    }
    out->n_fields = list.n;
    out->fields = list.items;
    return out;
}

TpCommon__SearchAttributes *tl_search_attributes_merge(const TpCommon__SearchAttributes *current,
                                                       const TpCommon__SearchAttributes *upserted,
                                                       struct tl_arena *arena)
{
    struct tl_pb_list list = {0};
    TpCommon__SearchAttributes *out =
        TL_PB_NEW(arena, TpCommon__SearchAttributes, tp_common__search_attributes);
    if (!out || !merge(arena, current ? (struct entry **)current->indexed_fields : NULL,
                       current ? current->n_indexed_fields : 0,
                       upserted ? (struct entry **)upserted->indexed_fields : NULL,
                       upserted ? upserted->n_indexed_fields : 0, &list)) {
        return NULL;
    }
    out->n_indexed_fields = list.n;
    out->indexed_fields = list.items;
    return out;
}
