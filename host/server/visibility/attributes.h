/* Search attributes: which exist, of which type, and what their values look like.
 *
 * System attributes are columns of a run. Predefined ones (TemporalChangeVersion, BuildIds ...) travel
 * among the user's own, which a namespace registers: a custom one has a name, a type and one of the
 * few fields of that type ("Keyword03"), as Temporal's SQL visibility hands them out. A value is
 * checked where it enters, gets its type into its payload's metadata, and is indexed under name and
 * type: when an attribute is removed and registered anew with another type, old values stay out.
 * Types are INDEXED_VALUE_TYPE_*.
 * Ownership: stated per function. Thread: any; a registry belongs to its namespace's owner. */
#pragma once

#include <temporal/api/common/v1/message.pb-c.h>
#include <temporal/api/namespace/v1/message.pb-c.h>

#include "base/arena.h"
#include "base/error.h"
#include "proto/pb.h"
#include "store/store.h"

struct tl_attr {
    struct tl_str name;
    int type;
};

/* The custom attributes of one namespace. Zero is empty. */
struct tl_attrs {
    struct tl_attr *items; /* heap, names included */
    size_t count;
};

/* From what a namespace's configuration maps: fields to names. Unknown fields are left out.
 * Owns: the caller, until deinit. */
void tl_attrs_init(struct tl_attrs *a, const TpNamespace__NamespaceConfig *config);
/* For another thread. Owns: the caller, until deinit. */
void tl_attrs_copy(struct tl_attrs *a, const struct tl_attrs *from);
void tl_attrs_deinit(struct tl_attrs *a);

/* "KeywordList" for INDEXED_VALUE_TYPE_KEYWORD_LIST; "Unspecified" for 0, NULL for other numbers. */
const char *tl_attr_type_name(int type);
/* "Keyword", "keyword_list", "INDEXED_VALUE_TYPE_INT", in either case. Errors: TL_EINVAL with the types. */
tl_rc tl_attr_type_parse(struct tl_str text, int *type, struct tl_error *err) TL_MUST_USE;

/* The i-th system or predefined attribute; name.p NULL past the last. */
struct tl_attr tl_attr_system(size_t i);
struct tl_attr tl_attr_predefined(size_t i);
/* Type of a custom or predefined attribute; 0: there is none. `custom` may be NULL. */
int tl_attrs_type(const struct tl_attrs *custom, struct tl_str name);
/* Whether the name cannot be a user's: system, predefined, reserved, or beginning with Temporal. */
bool tl_attr_reserved(struct tl_str name);

/* Whether users may set a value for it: not for system attributes and the server's own. */
bool tl_attr_settable(struct tl_str name);

/* Registers the name in the lowest free field of its type. A name that exists already stays as it is:
 * not an error, as on Temporal's server. Changes config, whose new entries live in the arena.
 * Errors: TL_EINVAL (reserved, unknown type, no field left), TL_ELIMIT. */
tl_rc tl_attrs_add(TpNamespace__NamespaceConfig *config, struct tl_str name, int type,
                   struct tl_arena *arena, struct tl_error *err) TL_MUST_USE;
/* Frees the name's field; unknown names are fine. Errors: TL_EINVAL (not a custom attribute). */
tl_rc tl_attrs_remove(TpNamespace__NamespaceConfig *config, struct tl_str name,
                      struct tl_error *err) TL_MUST_USE;
/* Merges fields named by an UpdateNamespace: an empty name frees the field. Errors: TL_EINVAL (taken,
 * or no such field), TL_ELIMIT. */
tl_rc tl_attrs_merge(TpNamespace__NamespaceConfig *config,
                     const TpNamespace__NamespaceConfig *update, struct tl_arena *arena,
                     struct tl_error *err) TL_MUST_USE;

/* Checks names, types and values of what a client or a workflow sets, and gives each payload its type
 * in its metadata. NULL is fine. Errors: TL_EINVAL in Temporal's words, TL_ELIMIT (arena). */
tl_rc tl_attrs_check(const struct tl_attrs *custom, struct tl_str namespace_name,
                     const TpCommon__SearchAttributes *sa, struct tl_arena *arena,
                     struct tl_error *err) TL_MUST_USE;
/* The limits of size, per value and of the whole. Errors: TL_ELIMIT. */
tl_rc tl_attrs_check_size(const TpCommon__SearchAttributes *sa, struct tl_error *err) TL_MUST_USE;
/* Leaves only what may be shown: predefined attributes, and registered ones of the registered type. */
void tl_attrs_visible(const struct tl_attrs *custom, TpCommon__SearchAttributes *sa);

/* --- values -------------------------------------------------------------------------------------- */

/* Key of an attribute's values in the index. NULL: arena full. */
const char *tl_attr_key(int64_t namespace_number, int type, struct tl_str name,
                        struct tl_arena *arena);
/* Splits a text into the words it is found by: letters and digits, ASCII in lower case. Calls back
 * with each. Stops when fn says false; returns whether it never did. */
bool tl_attr_words(struct tl_str text, struct tl_arena *arena,
                   bool (*fn)(void *ud, struct tl_str word), void *ud);
/* What is indexed of a run's encoded attributes. *division is the TemporalNamespaceDivision, empty when
 * none. Owns: the arena. Errors: TL_EDECODE, TL_ELIMIT. */
tl_rc tl_attrs_index(int64_t namespace_number, struct tl_str encoded, struct tl_arena *arena,
                     const struct tl_search_value **values, size_t *count, struct tl_str *division,
                     struct tl_error *err) TL_MUST_USE;
