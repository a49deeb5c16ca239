/* Names of the JSON mapping: fields, enum values, special types. See json.h. Thread: any. */
#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/field_mask.pb-c.h>
#include <google/protobuf/struct.pb-c.h>
#include <google/protobuf/wrappers.pb-c.h>
#include <temporal/api/common/v1/message.pb-c.h>

#include "proto/json_int.h"

/* Longest name that is compared piecewise; names of the protocol are below 80 bytes. */
#define NAME_BYTES_MAX 192

enum tl_json_special tl_json_special_of(const ProtobufCMessageDescriptor *desc, bool shorthand)
{
    static const struct {
        const ProtobufCMessageDescriptor *desc;
        enum tl_json_special special;
    } SPECIALS[] = {
        {&google__protobuf__timestamp__descriptor, TL_JSON_TIMESTAMP},
        {&google__protobuf__duration__descriptor, TL_JSON_DURATION},
        {&google__protobuf__field_mask__descriptor, TL_JSON_FIELD_MASK},
        {&google__protobuf__any__descriptor, TL_JSON_ANY},
        {&google__protobuf__struct__descriptor, TL_JSON_STRUCT},
        {&google__protobuf__value__descriptor, TL_JSON_VALUE},
        {&google__protobuf__list_value__descriptor, TL_JSON_LIST},
        {&google__protobuf__double_value__descriptor, TL_JSON_WRAPPER},
        {&google__protobuf__float_value__descriptor, TL_JSON_WRAPPER},
        {&google__protobuf__int64_value__descriptor, TL_JSON_WRAPPER},
        {&google__protobuf__uint64_value__descriptor, TL_JSON_WRAPPER},
        {&google__protobuf__int32_value__descriptor, TL_JSON_WRAPPER},
        {&google__protobuf__uint32_value__descriptor, TL_JSON_WRAPPER},
        {&google__protobuf__bool_value__descriptor, TL_JSON_WRAPPER},
        {&google__protobuf__string_value__descriptor, TL_JSON_WRAPPER},
        {&google__protobuf__bytes_value__descriptor, TL_JSON_WRAPPER},
        {&tp_common__payload__descriptor, TL_JSON_PAYLOAD},
        {&tp_common__payloads__descriptor, TL_JSON_PAYLOADS},
    };
    for (size_t i = 0; i < sizeof SPECIALS / sizeof *SPECIALS; i++) {
        if (SPECIALS[i].desc == desc) {
            bool off = SPECIALS[i].special >= TL_JSON_PAYLOAD && !shorthand;
            return off ? TL_JSON_PLAIN : SPECIALS[i].special;
        }
    }
    return TL_JSON_PLAIN;
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

size_t tl_json_field_name(const char *proto_name, char *out, size_t cap)
{
    size_t n = 0;
    bool raise = false;
    for (; *proto_name && n + 1 < cap; proto_name++) {
        if (*proto_name == '_') {
            raise = true;
            continue;
        }
        out[n++] = raise ? upper(*proto_name) : *proto_name;
        raise = false;
    }
    out[n] = 0;
    return n;
}

const ProtobufCFieldDescriptor *tl_json_find_field(const ProtobufCMessageDescriptor *desc,
                                                   struct tl_str name)
{
    char snake[NAME_BYTES_MAX];
    char camel[NAME_BYTES_MAX];
    size_t n = 0;
    if (name.n == 0 || name.n > NAME_BYTES_MAX / 2 || memchr(name.p, 0, name.n)) {
        return NULL;
    }
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] >= 'A' && name.p[i] <= 'Z') {
            snake[n++] = '_';
        }
        snake[n++] = lower(name.p[i]);
    }
    snake[n] = 0;
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(desc, snake);
    if (f &&
        (tl_str_eqc(name, f->name) || (tl_json_field_name(f->name, camel, sizeof camel) == name.n &&
                                       memcmp(camel, name.p, name.n) == 0))) {
        return f;
    }
    /* A digit after an underscore loses its underscore: no way back but to look at all fields. */
    for (unsigned i = 0; i < desc->n_fields; i++) {
        if (tl_str_eqc(name, desc->fields[i].name) ||
            (tl_json_field_name(desc->fields[i].name, camel, sizeof camel) == name.n &&
             memcmp(camel, name.p, name.n) == 0)) {
            return &desc->fields[i];
        }
    }
    return NULL;
}

/* Compares ignoring case and underscores. On success *rest is what is left of text. */
static bool begins_with(struct tl_str text, const char *prefix, struct tl_str *rest)
{
    size_t i = 0;
    for (; *prefix; prefix++) {
        if (*prefix == '_') {
            continue;
        }
        while (i < text.n && text.p[i] == '_') {
            i++;
        }
        if (i == text.n || lower(text.p[i]) != lower(*prefix)) {
            return false;
        }
        i++;
    }
    while (i < text.n && text.p[i] == '_') {
        i++;
    }
    *rest = tl_str_n(text.p + i, text.n - i);
    return true;
}

static bool same_words(struct tl_str text, const char *name)
{
    struct tl_str rest;
    return begins_with(text, name, &rest) && rest.n == 0;
}

/* The value's name behind the prefix that repeats the name of its type. */
static const char *without_prefix(const ProtobufCEnumDescriptor *desc, const char *value_name)
{
    struct tl_str rest;
    bool prefixed = begins_with(tl_str(value_name), desc->short_name, &rest);
    return prefixed && rest.n > 0 ? rest.p : value_name;
}

bool tl_json_enum_value(const ProtobufCEnumDescriptor *desc, struct tl_str name, int *value)
{
    for (unsigned i = 0; i < desc->n_value_names; i++) {
        if (tl_str_eqc(name, desc->values_by_name[i].name)) {
            *value = desc->values[desc->values_by_name[i].index].value;
            return true;
        }
    }
    for (unsigned i = 0; i < desc->n_values; i++) {
        const char *full = desc->values[i].name;
        if (same_words(name, without_prefix(desc, full)) || same_words(name, full)) {
            *value = desc->values[i].value;
            return true;
        }
    }
    return false;
}

size_t tl_json_enum_short(const ProtobufCEnumDescriptor *desc, int value, char *out, size_t cap)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(desc, value);
    size_t n = 0;
    bool raise = true;
    for (const char *p = v ? without_prefix(desc, v->name) : ""; *p && n + 1 < cap; p++) {
        if (*p == '_') {
            raise = true;
            continue;
        }
        out[n++] = raise ? upper(*p) : lower(*p);
        raise = false;
    }
    out[n] = 0;
    return n;
}

size_t tl_json_enum_word(const ProtobufCEnumDescriptor *desc, int value, char *out, size_t cap)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(desc, value);
    size_t n = 0;
    for (const char *p = v ? without_prefix(desc, v->name) : ""; *p && n + 1 < cap; p++) {
        out[n++] = lower(*p);
    }
    out[n] = 0;
    return n;
}
