/* operator search-attribute create, list, remove. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <temporal/api/operatorservice/v1/request_response.pb-c.h>

#include "cli/connect.h"
#include "proto/pb.h"
#include "server/visibility/attributes.h"

int tl_cmd_operator_search_attribute_create(struct tl_cli *cli);
int tl_cmd_operator_search_attribute_list(struct tl_cli *cli);
int tl_cmd_operator_search_attribute_remove(struct tl_cli *cli);

/* NULL after an error was printed. */
static TpOs__ListSearchAttributesResponse *list(struct tl_cli_session *s)
{
    TpOs__ListSearchAttributesRequest r = TP_OS__LIST_SEARCH_ATTRIBUTES_REQUEST__INIT;
    TpOs__ListSearchAttributesResponse *resp = NULL;
    struct tl_client_error err;
    r.namespace_ = tl_cli_field(s, "namespace");
    if (tl_cli_call(s, TL_M_ListSearchAttributes, &r, &resp, &err) != TL_OK) {
        tl_cli_call_failed("unable to list search attributes", &err);
        return NULL;
    }
    return resp;
}

/* --- create --------------------------------------------------------------------------------------- */

static int type_of(const TpOs__ListSearchAttributesResponse *have, const char *name)
{
    for (size_t i = 0; i < have->n_custom_attributes; i++) {
        if (strcmp(have->custom_attributes[i]->key, name) == 0) {
            return (int)have->custom_attributes[i]->value;
        }
    }
    return 0;
}

/* The attributes that are not there yet, as entries. Returns 0 or an exit code. */
static int missing(struct tl_cli_session *s, const TpOs__ListSearchAttributesResponse *have,
                   struct tl_pb_list *out)
{
    const char *const *names = tl_cli_texts(s->cli, "name");
    const char *const *types = tl_cli_texts(s->cli, "type");
    for (; *names && *types; names++, types++) {
        int type, old = type_of(have, *names);
        struct tl_error err;
        if (tl_attr_type_parse(tl_str(*types), &type, &err) != TL_OK) {
            return tl_cli_fail(2, "--type: %s", err.message);
        }
        if (old && old != type) {
            return tl_cli_fail(1, "search attribute %s already exists and has different type: %s",
                               *names, tl_attr_type_name(old));
        }
        if (old) {
            tl_print_line(&s->print, "Search attribute %s already exists", *names);
            continue;
        }
        TpOs__AddSearchAttributesRequest__SearchAttributesEntry *e =
            TL_PB_NEW(&s->arena, TpOs__AddSearchAttributesRequest__SearchAttributesEntry,
                      tp_os__add_search_attributes_request__search_attributes_entry);
        if (!e || !tl_pb_push(&s->arena, out, e)) {
            return tl_cli_fail(1, "too many search attributes");
        }
        e->key = (char *)(uintptr_t)*names;
        e->value = (TpEnums__IndexedValueType)type;
    }
    return *names || *types ? tl_cli_fail(2, "give as many --type as --name") : 0;
}

static int run_create(struct tl_cli_session *s)
{
    TpOs__AddSearchAttributesRequest r = TP_OS__ADD_SEARCH_ATTRIBUTES_REQUEST__INIT;
    struct tl_pb_list entries = {0};
    struct tl_client_error err;
    TpOs__ListSearchAttributesResponse *have = list(s);
    int code = have ? missing(s, have, &entries) : 1;
    if (code || !entries.n) {
        return code;
    }
    r.namespace_ = tl_cli_field(s, "namespace");
    r.n_search_attributes = entries.n;
    r.search_attributes = entries.items;
    if (tl_cli_call(s, TL_M_AddSearchAttributes, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("unable to add search attributes", &err);
    }
    tl_print_line(&s->print, "Search attributes have been added");
    return 0;
}

int tl_cmd_operator_search_attribute_create(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_CREATE, run_create);
}

/* --- list ----------------------------------------------------------------------------------------- */

/* A row of the answer: its two maps have entries of one shape. */
typedef TpOs__ListSearchAttributesResponse__SystemAttributesEntry entry;
_Static_assert(sizeof(entry) == sizeof(TpOs__ListSearchAttributesResponse__CustomAttributesEntry),
               "entries of name and type");

static int by_name(const void *a, const void *b)
{
    return strcmp((*(entry *const *)a)->key, (*(entry *const *)b)->key);
}

static int run_list(struct tl_cli_session *s)
{
    static const struct tl_print_column columns[] = {{"Name", 0, false}, {"Type", 0, false}};
    struct tl_error err = {0};
    TpOs__ListSearchAttributesResponse *resp = list(s);
    if (!resp) {
        return 1;
    }
    if (tl_print_is_json(&s->print)) {
        return tl_cli_printed(tl_print_message(&s->print, resp, &err), &err);
    }
    struct tl_pb_list all = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < resp->n_system_attributes; i++) {
        ok = tl_pb_push(&s->arena, &all, resp->system_attributes[i]);
    }
    for (size_t i = 0; ok && i < resp->n_custom_attributes; i++) {
        ok = tl_pb_push(&s->arena, &all, resp->custom_attributes[i]);
    }
    const char **cells = TL_ARENA_ARRAY(&s->arena, const char *, 2 * all.n + 1);
    if (!ok || !cells) {
        return tl_cli_fail(1, "the list is too large");
    }
    qsort(all.items, all.n, sizeof(entry *), by_name);
    for (size_t i = 0; i < all.n; i++) {
        const entry *e = ((entry **)all.items)[i];
        cells[2 * i] = e->key;
        cells[2 * i + 1] =
            tl_print_enum(&s->arena, &tp_enums__indexed_value_type__descriptor, (int)e->value);
    }
    tl_print_table(&s->print, columns, 2, cells, all.n, true, 1);
    return 0;
}

int tl_cmd_operator_search_attribute_list(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_list);
}

/* --- remove --------------------------------------------------------------------------------------- */

/* Whether the user means it: --yes, or an answer on a terminal. */
static bool confirmed(struct tl_cli_session *s, size_t n)
{
    char answer[8] = "";
    if (tl_cli_flag(s->cli, "yes")) {
        return true;
    }
    if (!isatty(STDIN_FILENO)) {
        return false;
    }
    fprintf(stderr, "You are about to remove %zu search attribute(s). Continue? y/N ", n);
    return fgets(answer, sizeof answer, stdin) && (*answer == 'y' || *answer == 'Y');
}

static int run_remove(struct tl_cli_session *s)
{
    TpOs__RemoveSearchAttributesRequest r = TP_OS__REMOVE_SEARCH_ATTRIBUTES_REQUEST__INIT;
    const char *const *names = tl_cli_texts(s->cli, "name");
    struct tl_client_error err;
    size_t n = 0;
    while (names[n]) {
        n++;
    }
    r.namespace_ = tl_cli_field(s, "namespace");
    r.n_search_attributes = n;
    r.search_attributes = tl_arena_copy(&s->arena, names, n * sizeof *names);
    if (!r.search_attributes) {
        return tl_cli_fail(1, "too many search attributes");
    }
    if (!confirmed(s, n)) {
        return tl_cli_fail(1, "nothing was removed: say --yes");
    }
    if (tl_cli_call(s, TL_M_RemoveSearchAttributes, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("unable to remove search attributes", &err);
    }
    tl_print_line(&s->print, "Search attributes have been removed");
    return 0;
}

int tl_cmd_operator_search_attribute_remove(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_remove);
}
