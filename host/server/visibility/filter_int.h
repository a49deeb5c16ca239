/* Inside of the filter compiler: the parser's state, its tokens and the values they stand for. */
#pragma once

#include "base/buf.h"
#include "server/visibility/attributes.h"
#include "server/visibility/filter.h"

/* What a field holds. STATUS and SPAN are columns that Temporal calls Keyword and Int. */
enum tl_field_kind {
    TL_FIELD_KEYWORD,
    TL_FIELD_INT,
    TL_FIELD_DOUBLE,
    TL_FIELD_BOOL,
    TL_FIELD_TIME,
    TL_FIELD_LIST,
    TL_FIELD_TEXT,
    TL_FIELD_STATUS,
    TL_FIELD_SPAN
};

struct tl_field {
    struct tl_str name; /* as the filter has it */
    enum tl_field_kind kind;
    const char *column; /* SQL; NULL: an indexed value */
    const char *key;    /* of the indexed value */
};

enum tl_token { TL_T_END, TL_T_WORD, TL_T_TEXT, TL_T_NUMBER, TL_T_SIGN, TL_T_BAD };

struct tl_filter_parser {
    struct tl_str in;
    size_t at;    /* behind the current token */
    size_t start; /* of the current token */
    enum tl_token token;
    bool quoted;        /* a TL_T_TEXT in double quotes: may be a name */
    struct tl_str word; /* WORD, NUMBER: as written; TEXT: unescaped; SIGN: the operator */
    const struct tl_filter_scope *scope;
    struct tl_arena *arena;
    struct tl_buf sql;
    struct tl_filter *out;
    int depth;
    int negations; /* NOTs around what is being parsed */
    bool division; /* TemporalNamespaceDivision was named */
    struct tl_error *err;
};

/* --- filter_lex.c ---- */
void tl_filter_next(struct tl_filter_parser *p);
bool tl_filter_is_word(const struct tl_filter_parser *p, const char *keyword);
bool tl_filter_accept_word(struct tl_filter_parser *p, const char *keyword);
bool tl_filter_accept_sign(struct tl_filter_parser *p, const char *sign);
/* The error that something else was expected here. */
tl_rc tl_filter_fail(struct tl_filter_parser *p, const char *expected);

/* --- filter_field.c ---- */
/* The current token as a field, which it passes. */
tl_rc tl_filter_field(struct tl_filter_parser *p, struct tl_field *out) TL_MUST_USE;
/* The type's name as Temporal's messages have it. */
const char *tl_filter_kind_name(enum tl_field_kind kind);

/* --- filter_value.c ---- */
/* The current token as a value for the field, which it passes. Errors: TL_EINVAL. */
tl_rc tl_filter_value(struct tl_filter_parser *p, const struct tl_field *f,
                      struct tl_value *out) TL_MUST_USE;
