/* Which pragmas a store runs with: ours, and those of the user, which win. See store_int.h. */
#include "store/store_int.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"

struct choice {
    const char *name, *value;
    bool every;
};

/* In the order they must run: what shapes a new file comes before its first page. A temporary file is
 * not synced while it is made either. */
static const struct choice choices[] = {
    {"synchronous", "full", true},
    {"page_size", "4096", false},
    {"auto_vacuum", "incremental", false},
    {"journal_mode", "wal", false},
    {"wal_autocheckpoint", "0", true}, /* tl_store_checkpoint_step does it */
    {"journal_size_limit", "67108864", true},
    {"secure_delete", "off", true},
    {"temp_store", "memory", true},
    {"foreign_keys", "off", true},
    {"recursive_triggers", "off", true},
};

/* Values that take away what the store is built on. */
static const struct {
    const char *name, *why;
} refused[] = {
    {"locking_mode", "the store needs several connections"},
    {"query_only", "the store writes"},
    {"user_version", "it is the schema version"},
    {"application_id", "it marks the file as ours"},
    {"writable_schema", "it can destroy the database"},
    {"schema_version", "it can destroy the database"},
    {"encoding", "identifiers are UTF-8"},
};

static struct tl_pragma *find(struct tl_pragma_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcasecmp(list->rows[i].name, name) == 0) {
            return &list->rows[i];
        }
    }
    return NULL;
}

static bool plain_word(const char *s, size_t n, bool value)
{
    for (size_t i = 0; i < n; i++) {
        bool ok =
            isalnum((unsigned char)s[i]) || s[i] == '_' || (value && (s[i] == '-' || s[i] == '.'));
        if (!ok) {
            return false;
        }
    }
    return n > 0;
}

static tl_rc add_user(struct tl_pragma_list *list, const char *text, struct tl_error *err)
{
    const char *eq = strchr(text, '=');
    size_t name_n = eq ? (size_t)(eq - text) : 0, value_n = eq ? strlen(eq + 1) : 0;
    if (!eq || name_n >= sizeof list->names[0] || value_n >= sizeof list->rows[0].value ||
        !plain_word(text, name_n, false) || !plain_word(eq + 1, value_n, true)) {
        return tl_error_set(err, TL_EINVAL, "SQLite pragma \"%.100s\": write name=value", text);
    }
    char name[32];
    snprintf(name, sizeof name, "%.*s", (int)name_n, text);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (strcasecmp(refused[i].name, name) == 0) {
            return tl_error_set(err, TL_EINVAL, "SQLite pragma %s cannot be set: %s", name,
                                refused[i].why);
        }
    }
    struct tl_pragma *row = find(list, name);
    if (row) {
        if (strcasecmp(row->value, eq + 1) != 0) {
            TL_LOG(TL_LOG_WARN, "store.pragma_replaced", TL_C("pragma", row->name),
                   TL_C("value", eq + 1), TL_C("ours", row->value));
        }
    } else if (list->count == TL_PRAGMA_MAX) {
        return tl_error_set(err, TL_ELIMIT, "more than %d SQLite pragmas", TL_PRAGMA_MAX);
    } else {
        memcpy(list->names[list->count], name, sizeof name);
        row = &list->rows[list->count];
        *row = (struct tl_pragma){.name = list->names[list->count], .every = true};
        list->count++;
    }
    memcpy(row->value, eq + 1, value_n + 1);
    return TL_OK;
}

/* A journal beside the database would be opened by a name that is gone. */
static tl_rc check_temporary(const struct tl_pragma_list *list,
                             const struct tl_store_config *config, struct tl_error *err)
{
    if (!config->path && strcasecmp(tl_pragma_value(list, "journal_mode"), "wal") != 0) {
        return tl_error_set(err, TL_EINVAL,
                            "SQLite pragma journal_mode cannot be set without a "
                            "database file");
    }
    return TL_OK;
}

tl_rc tl_pragma_plan(struct tl_pragma_list *list, const struct tl_store_config *config,
                     struct tl_error *err)
{
    *list = (struct tl_pragma_list){0};
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        struct tl_pragma *row = &list->rows[list->count++];
        row->name = choices[i].name;
        row->every = choices[i].every;
        snprintf(row->value, sizeof row->value, "%s", choices[i].value);
    }
    if (!config->path) {
        snprintf(find(list, "synchronous")->value, sizeof list->rows[0].value, "off");
    }
    for (size_t i = 0; i < config->pragma_count; i++) {
        tl_rc rc = add_user(list, config->pragmas[i], err);
        if (rc) {
            return rc;
        }
    }
    return check_temporary(list, config, err);
}

const char *tl_pragma_value(const struct tl_pragma_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcasecmp(list->rows[i].name, name) == 0) {
            return list->rows[i].value;
        }
    }
    return "";
}

tl_rc tl_pragma_apply(struct tl_conn *c, const struct tl_pragma_list *list, enum tl_conn_kind kind,
                      struct tl_error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!list->rows[i].every && kind != TL_CONN_WRITER) {
            continue;
        }
        char sql[160];
        /* Name and value are plain words; a pragma takes no bound value. */
        snprintf(sql, sizeof sql, "PRAGMA %s=%s", list->rows[i].name, list->rows[i].value);
        tl_rc rc = tl_conn_exec(c, sql, err);
        if (rc) {
            return rc;
        }
    }
    return TL_OK;
}
