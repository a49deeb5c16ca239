/* The registry: names, types and fields of search attributes. See attributes.h. */
#include "server/visibility/attributes.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tl_enums.h"

enum kind { SYSTEM, OPEN, CLOSED };

static const struct row {
    enum kind kind;
    const char *name;
    int type;
} rows[] = {
#define ATTRIBUTE(kind, name, type) {kind, #name, INDEXED_VALUE_TYPE_##type},
#define TYPE(type, name, fields)
#include "server/visibility/attributes.def"
#undef ATTRIBUTE
#undef TYPE
};
#define ROWS (sizeof rows / sizeof rows[0])

static const struct type_row {
    int type;
    const char *name;
    int fields;
} types[] = {
#define ATTRIBUTE(kind, name, type)
#define TYPE(type, name, fields) {INDEXED_VALUE_TYPE_##type, #name, fields},
#include "server/visibility/attributes.def"
#undef ATTRIBUTE
#undef TYPE
};
#define TYPES (sizeof types / sizeof types[0])

/* Names of columns that Temporal's stores keep for themselves. */
static const char *const reserved[] = {"NamespaceId", "MemoEncoding", "Memo", "VisibilityTaskKey"};

typedef TpNamespace__NamespaceConfig__CustomSearchAttributeAliasesEntry alias;

const char *tl_attr_type_name(int type)
{
    for (size_t i = 0; i < TYPES; i++) {
        if (types[i].type == type) {
            return types[i].name;
        }
    }
    return type == INDEXED_VALUE_TYPE_UNSPECIFIED ? "Unspecified" : NULL;
}

/* Equal but for case and underscores. */
static bool same_letters(struct tl_str text, const char *name)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '_' &&
            tolower((unsigned char)text.p[i]) != tolower((unsigned char)*name++)) {
            return false;
        }
    }
    return *name == 0;
}

tl_rc tl_attr_type_parse(struct tl_str text, int *type, struct tl_error *err)
{
    static const char prefix[] = "INDEXED_VALUE_TYPE_";
    struct tl_str t = text;
    if (t.n > sizeof prefix && strncasecmp(t.p, prefix, sizeof prefix - 1) == 0) {
        t = tl_str_n(t.p + sizeof prefix - 1, t.n - sizeof prefix + 1);
    }
    for (size_t i = 0; i < TYPES; i++) {
        if (same_letters(t, types[i].name)) {
            *type = types[i].type;
            return TL_OK;
        }
    }
    return tl_error_set(err, TL_EINVAL,
                        "no type of search attributes: \"%.*s\" (Text, Keyword, Int, Double, Bool, "
                        "Datetime, KeywordList)",
                        text.n > 60 ? 60 : (int)text.n, text.p ? text.p : "");
}

static struct tl_attr nth(size_t i, bool system)
{
    for (size_t k = 0; k < ROWS; k++) {
        if ((rows[k].kind == SYSTEM) == system && i-- == 0) {
            return (struct tl_attr){tl_str(rows[k].name), rows[k].type};
        }
    }
    return (struct tl_attr){{NULL, 0}, 0};
}

struct tl_attr tl_attr_system(size_t i)
{
    return nth(i, true);
}

struct tl_attr tl_attr_predefined(size_t i)
{
    return nth(i, false);
}

static const struct row *find_row(struct tl_str name)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (tl_str_eqc(name, rows[i].name)) {
            return &rows[i];
        }
    }
    return NULL;
}

bool tl_attr_reserved(struct tl_str name)
{
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        if (tl_str_eqc(name, reserved[i])) {
            return true;
        }
    }
    return find_row(name) || (name.n >= 8 && memcmp(name.p, "Temporal", 8) == 0);
}

bool tl_attr_settable(struct tl_str name)
{
    const struct row *row = find_row(name);
    return !row || row->kind == OPEN;
}

static const struct tl_attr *find_custom(const struct tl_attrs *custom, struct tl_str name)
{
    for (size_t i = 0; custom && i < custom->count; i++) {
        if (tl_str_eq(custom->items[i].name, name)) {
            return &custom->items[i];
        }
    }
    return NULL;
}

int tl_attrs_type(const struct tl_attrs *custom, struct tl_str name)
{
    const struct row *row = find_row(name);
    if (row) {
        return row->kind == SYSTEM ? 0 : row->type;
    }
    const struct tl_attr *a = find_custom(custom, name);
    return a ? a->type : 0;
}

/* --- a namespace's own ----------------------------------------------------------------------------- */

/* Type of a field like "Keyword03"; 0: none of ours. */
static int field_type(const char *field)
{
    char name[40];
    for (size_t i = 0; i < TYPES; i++) {
        for (int n = 1; n <= types[i].fields; n++) {
            snprintf(name, sizeof name, "%s%02d", types[i].name, n);
            if (strcmp(field, name) == 0) {
                return types[i].type;
            }
        }
    }
    return 0;
}

void tl_attrs_init(struct tl_attrs *a, const TpNamespace__NamespaceConfig *config)
{
    *a = (struct tl_attrs){0};
    size_t n = config ? config->n_custom_search_attribute_aliases : 0;
    if (!n) {
        return;
    }
    a->items = TL_NEW_ARRAY(struct tl_attr, n);
    for (size_t i = 0; i < n; i++) {
        const alias *x = config->custom_search_attribute_aliases[i];
        struct tl_str name = tl_str(x->value);
        int type = field_type(x->key);
        if (type) {
            a->items[a->count++] = (struct tl_attr){{tl_mem_dup(name), name.n}, type};
        }
    }
}

void tl_attrs_copy(struct tl_attrs *a, const struct tl_attrs *from)
{
    *a = (struct tl_attrs){.count = from->count};
    if (from->count) {
        a->items = TL_NEW_ARRAY(struct tl_attr, from->count);
    }
    for (size_t i = 0; i < from->count; i++) {
        a->items[i] = from->items[i];
        a->items[i].name.p = tl_mem_dup(from->items[i].name);
    }
}

void tl_attrs_deinit(struct tl_attrs *a)
{
    for (size_t i = 0; i < a->count; i++) {
        tl_mem_free((void *)(uintptr_t)a->items[i].name.p);
    }
    tl_mem_free(a->items);
    *a = (struct tl_attrs){0};
}

static alias *find_field(const TpNamespace__NamespaceConfig *config, const char *field)
{
    for (size_t i = 0; i < config->n_custom_search_attribute_aliases; i++) {
        if (strcmp(config->custom_search_attribute_aliases[i]->key, field) == 0) {
            return config->custom_search_attribute_aliases[i];
        }
    }
    return NULL;
}

static alias *find_name(const TpNamespace__NamespaceConfig *config, struct tl_str name)
{
    for (size_t i = 0; i < config->n_custom_search_attribute_aliases; i++) {
        if (tl_str_eqc(name, config->custom_search_attribute_aliases[i]->value)) {
            return config->custom_search_attribute_aliases[i];
        }
    }
    return NULL;
}

static void drop(TpNamespace__NamespaceConfig *config, const alias *x)
{
    size_t n = 0;
    for (size_t i = 0; i < config->n_custom_search_attribute_aliases; i++) {
        if (config->custom_search_attribute_aliases[i] != x) {
            config->custom_search_attribute_aliases[n++] =
                config->custom_search_attribute_aliases[i];
        }
    }
    config->n_custom_search_attribute_aliases = n;
}

static tl_rc put(TpNamespace__NamespaceConfig *config, const char *field, struct tl_str name,
                 struct tl_arena *arena, struct tl_error *err)
{
    struct tl_pb_list list = {0};
    alias *x = TL_PB_NEW(arena, alias,
                         tp_namespace__namespace_config__custom_search_attribute_aliases_entry);
    bool ok =
        x && (x->key = tl_pb_cstr(arena, tl_str(field))) && (x->value = tl_pb_cstr(arena, name));
    for (size_t i = 0; ok && i < config->n_custom_search_attribute_aliases; i++) {
        ok = tl_pb_push(arena, &list, config->custom_search_attribute_aliases[i]);
    }
    if (!ok || !tl_pb_push(arena, &list, x)) {
        return tl_error_set(err, TL_ELIMIT, "the description of the namespace is too large");
    }
    config->n_custom_search_attribute_aliases = list.n;
    config->custom_search_attribute_aliases = list.items;
    return TL_OK;
}

static tl_rc check_name(struct tl_str name, struct tl_error *err)
{
    if (!name.n || name.n > 255) {
        return tl_error_set(err, TL_EINVAL,
                            "the name of a search attribute has 1 to 255 bytes, this one %zu",
                            name.n);
    }
    if (tl_attr_reserved(name)) {
        return tl_error_set(err, TL_EINVAL, "Search attribute %.*s is reserved by system.",
                            TL_STR_FMT(name));
    }
    return TL_OK;
}

tl_rc tl_attrs_add(TpNamespace__NamespaceConfig *config, struct tl_str name, int type,
                   struct tl_arena *arena, struct tl_error *err)
{
    char field[40];
    tl_rc rc = check_name(name, err);
    if (rc != TL_OK) {
        return rc;
    }
    const char *type_name = tl_attr_type_name(type);
    if (!type_name) {
        return tl_error_set(err, TL_EINVAL, "Unknown search attribute type: %d.", type);
    }
    if (find_name(config, name)) {
        return TL_OK;
    }
    int fields = 0;
    for (size_t i = 0; i < TYPES; i++) {
        fields = types[i].type == type ? types[i].fields : fields;
    }
    for (int n = 1; n <= fields; n++) {
        snprintf(field, sizeof field, "%s%02d", type_name, n);
        if (!find_field(config, field)) {
            return put(config, field, name, arena, err);
        }
    }
    return tl_error_set(err, TL_EINVAL,
                        "Unable to create search attributes: cannot have more than %d search "
                        "attribute of type %s.",
                        fields, type_name);
}

tl_rc tl_attrs_remove(TpNamespace__NamespaceConfig *config, struct tl_str name,
                      struct tl_error *err)
{
    const alias *x = find_name(config, name);
    if (x) {
        drop(config, x);
    } else if (find_row(name)) {
        return tl_error_set(err, TL_EINVAL, "Unable to remove non-custom search attributes: %.*s.",
                            TL_STR_FMT(name));
    }
    return TL_OK;
}

tl_rc tl_attrs_merge(TpNamespace__NamespaceConfig *config,
                     const TpNamespace__NamespaceConfig *update, struct tl_arena *arena,
                     struct tl_error *err)
{
    tl_rc rc = TL_OK;
    for (size_t i = 0; rc == TL_OK && i < update->n_custom_search_attribute_aliases; i++) {
        const alias *x = update->custom_search_attribute_aliases[i];
        const alias *old = find_field(config, x->key);
        if (!*x->value) {
            drop(config, old);
        } else if (old) {
            rc = tl_error_set(err, TL_EINVAL,
                              "Custom search attribute field name already allocated.");
        } else if (!field_type(x->key)) {
            rc = tl_error_set(err, TL_EINVAL,
                              "\"%s\" is no field for custom search attributes (Keyword01 ...)",
                              x->key);
        } else if ((rc = check_name(tl_str(x->value), err)) == TL_OK) {
            rc = put(config, x->key, tl_str(x->value), arena, err);
        }
    }
    return rc;
}
