/* Decoding into an arena, lookups by name, and the small builders. See pb.h. Thread: any. */
#include "proto/pb_int.h"
#include "proto/utf8.h"

/* proto/gen/gen.lua writes these, sorted by name. */
extern const ProtobufCMessageDescriptor *const tl_pb_messages[];
extern const size_t tl_pb_messages_count;
extern const ProtobufCServiceDescriptor *const tl_pb_services[];
extern const size_t tl_pb_services_count;

const ProtobufCMessageDescriptor *tl_pb_find_message(struct tl_str full_name)
{
    size_t low = 0;
    size_t high = tl_pb_messages_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = tl_str_cmp(full_name, tl_str(tl_pb_messages[middle]->name));
        if (order == 0) {
            return tl_pb_messages[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const ProtobufCServiceDescriptor *tl_pb_find_service(struct tl_str full_name)
{
    for (size_t i = 0; i < tl_pb_services_count; i++) {
        if (tl_str_eqc(full_name, tl_pb_services[i]->name)) {
            return tl_pb_services[i];
        }
    }
    return NULL;
}

const ProtobufCMessageDescriptor *tl_pb_message_at(size_t index)
{
    return index < tl_pb_messages_count ? tl_pb_messages[index] : NULL;
}

const char *tl_pb_enum_name(const ProtobufCEnumDescriptor *desc, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(desc, value);
    return v ? v->name : NULL;
}

static void *arena_alloc(void *ud, size_t n)
{
    return tl_arena_alloc(ud, n);
}

static void arena_free(void *ud, void *p)
{
    (void)ud;
    (void)p;
}

void tl_pb_allocator(ProtobufCAllocator *out, struct tl_arena *arena)
{
    *out = (ProtobufCAllocator){arena_alloc, arena_free, arena};
}

tl_rc tl_pb_decode(const ProtobufCMessageDescriptor *desc, struct tl_str bytes,
                   struct tl_arena *arena, void *out, struct tl_error *err)
{
    tl_rc rc = tl_pb_check(desc, bytes, err);
    if (rc) {
        return rc;
    }
    void *msg = tl_pb_unpack(arena, desc, bytes);
    if (!msg) {
        return tl_error_set(err, TL_ELIMIT, "%s: no memory left for the message", desc->name);
    }
    memcpy(out, &msg, sizeof msg);
    return TL_OK;
}

void *tl_pb_new(struct tl_arena *arena, const ProtobufCMessageDescriptor *desc)
{
    void *msg = tl_arena_alloc(arena, desc->sizeof_message);
    if (msg) {
        protobuf_c_message_init(desc, msg);
    }
    return msg;
}

char *tl_pb_cstr(struct tl_arena *arena, struct tl_str s)
{
    /* Not protobuf_c_empty_string: libprotobuf-c's own packer drops a oneof that holds it. */
    static char empty[1] = "";
    if (s.n == 0) {
        return empty;
    }
    return memchr(s.p, 0, s.n) ? NULL : tl_arena_cstr(arena, s);
}

char *tl_pb_clean(struct tl_arena *arena, struct tl_str s)
{
    size_t nuls = 0;
    for (size_t i = 0; i < s.n; i++) {
        nuls += s.p[i] == '\0';
    }
    if (nuls == 0 && tl_utf8_ok(s)) {
        return tl_pb_cstr(arena, s);
    }
    char *copy = tl_arena_alloc(arena, s.n + nuls + 1), *out = copy;
    for (size_t i = 0; copy && i < s.n;) {
        size_t length = tl_utf8_front(tl_str_n(s.p + i, s.n - i));
        if (length == 0) {
            *out++ = '?';
            length = 1;
        } else if (s.p[i] == '\0') {
            *out++ = '\\';
            *out++ = '0';
        } else {
            memcpy(out, s.p + i, length);
            out += length;
        }
        i += length;
    }
    if (copy) {
        *out = '\0';
    }
    return copy;
}

ProtobufCBinaryData tl_pb_bytes(struct tl_arena *arena, struct tl_str s, bool *ok)
{
    if (s.n == 0) {
        return (ProtobufCBinaryData){0, NULL};
    }
    uint8_t *copy = tl_arena_copy(arena, s.p, s.n);
    if (!copy && ok) {
        *ok = false;
    }
    return (ProtobufCBinaryData){copy ? s.n : 0, copy};
}

bool tl_pb_push(struct tl_arena *arena, struct tl_pb_list *list, const void *item)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 4;
        void **items = TL_ARENA_ARRAY(arena, void *, cap);
        if (!items) {
            return false;
        }
        if (list->n > 0) {
            memcpy(items, list->items, list->n * sizeof *items);
        }
        list->items = items;
        list->cap = cap;
    }
    ((const void **)list->items)[list->n++] = item;
    return true;
}

void *tl_pb_map_find(const void *entries, size_t n, struct tl_str key)
{
    ProtobufCMessage *const *list = entries;
    for (size_t i = n; i-- > 0;) {
        const char *at = (const char *)list[i] + list[i]->descriptor->fields[0].offset;
        const char *entry_key;
        memcpy(&entry_key, at, sizeof entry_key);
        if (tl_str_eqc(key, entry_key)) {
            return list[i];
        }
    }
    return NULL;
}
