/* The table of namespaces, all in memory. A namespace is stored as its encoded description.
 * Thread: engine. */
#include "base/log.h"
#include "base/mem.h"
#include "server/engine.h"

#define RETENTION_DEFAULT_NS (24 * 3600 * TL_NS_PER_S)
#define NAME_MAX_BYTES 255

static struct tl_str dup_str(struct tl_str s)
{
    return (struct tl_str){tl_mem_dup(s), s.n};
}

static void namespace_free(struct tl_namespace *ns)
{
    tl_mem_free((void *)(uintptr_t)ns->name.p);
    tl_mem_free((void *)(uintptr_t)ns->id.p);
    tl_mem_free((void *)(uintptr_t)ns->bytes.p);
    tl_mem_free((void *)(uintptr_t)ns->former.p);
    tl_attrs_deinit(&ns->attrs);
    tl_mem_free(ns);
}

struct tl_namespace *tl_namespace_find(struct tl_server *s, struct tl_str name)
{
    struct tl_namespace *ns = tl_map_get(&s->namespaces, name);
    return ns && !ns->deleted ? ns : NULL;
}

/* Whether a namespace has the name, be it a deleted one. */
static bool name_taken(struct tl_server *s, struct tl_str name)
{
    return tl_map_get(&s->namespaces, name) != NULL;
}

struct tl_str tl_namespace_id_of(void *server, struct tl_str name)
{
    const struct tl_namespace *ns = tl_namespace_find(server, name);
    return ns ? ns->id : (struct tl_str){0};
}

uint64_t tl_namespace_number_of(void *server, struct tl_str name)
{
    const struct tl_namespace *ns = tl_namespace_find(server, name);
    return ns ? ns->number : 0;
}

bool tl_namespace_name_ok(struct tl_str name)
{
    if (!name.n || name.n > NAME_MAX_BYTES) {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        char ch = name.p[i];
        bool word = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                    (ch >= '0' && ch <= '9') || ch == '_';
        if (!word && (i == 0 || (ch != '-' && ch != '.'))) {
            return false;
        }
    }
    return true;
}

static int64_t retention_of(const TpWs__DescribeNamespaceResponse *d)
{
    int64_t ns =
        d->config ? tl_pb_duration_ns_or(d->config->workflow_execution_retention_ttl, 0) : 0;
    return ns > 0 ? ns : RETENTION_DEFAULT_NS;
}

static struct tl_namespace *insert(struct tl_server *s, uint64_t number, struct tl_str name,
                                   struct tl_str id, struct tl_str bytes,
                                   const TpWs__DescribeNamespaceResponse *d)
{
    struct tl_namespace *ns = tl_map_get(&s->namespaces, name);
    if (!ns) {
        ns = TL_NEW(struct tl_namespace);
        ns->number = number;
        ns->name = dup_str(name);
        ns->id = dup_str(id);
        tl_map_put(&s->namespaces, ns->name, ns);
        tl_map_put_num(&s->namespace_numbers, number, ns);
    }
    tl_mem_free((void *)(uintptr_t)ns->bytes.p);
    ns->bytes = dup_str(bytes);
    ns->retention_ns = retention_of(d);
    ns->deleted = (int)d->namespace_info->state == NAMESPACE_STATE_DELETED;
    tl_attrs_deinit(&ns->attrs);
    tl_attrs_init(&ns->attrs, d->config);
    if (number >= s->namespaces_next) {
        s->namespaces_next = number + 1;
    }
    return ns;
}

static tl_rc load_row(void *ud, const struct tl_namespace_row *row, struct tl_error *err)
{
    struct tl_server *s = ud;
    const TpWs__DescribeNamespaceResponse *d = NULL;
    tl_arena_reset(&s->arena);
    tl_rc rc = tl_pb_decode(&tp_ws__describe_namespace_response__descriptor, row->bytes, &s->arena,
                            &d, err);
    if (rc == TL_OK) {
        insert(s, (uint64_t)row->number, row->name, row->id, row->bytes, d);
    }
    return rc;
}

tl_rc tl_namespaces_load(struct tl_server *s, struct tl_error *err)
{
    return tl_store_namespaces(tl_store_point_reader(s->store), load_row, s, err);
}

void tl_namespaces_free(struct tl_server *s)
{
    TL_MAP_EACH (e, &s->namespaces) {
        namespace_free(e->value);
    }
    tl_map_deinit(&s->namespaces);
    tl_map_deinit(&s->namespace_numbers);
}

static void rename_to(struct tl_server *s, struct tl_namespace *ns, struct tl_str name)
{
    struct tl_str old = ns->name;
    ns->name = dup_str(name);
    tl_map_del(&s->namespaces, old);
    tl_map_put(&s->namespaces, ns->name, ns);
    tl_mem_free((void *)(uintptr_t)old.p);
}

/* Runs point at their namespace, so entries stay where they are; only those go that were never
 * stored, and with them no run can be left. */
tl_rc tl_namespaces_reload(struct tl_server *s, struct tl_error *err)
{
    TL_MAP_EACH (e, &s->namespace_numbers) {
        struct tl_namespace *ns = e->value;
        if (ns->former.n && ns->seq > s->durable_seq) { /* the deletion failed */
            /* Who took the name since then goes below. */
            struct tl_namespace *taker = tl_map_get(&s->namespaces, ns->former);
            if (taker) {
                rename_to(s, taker, taker->id);
            }
            rename_to(s, ns, ns->former);
            tl_mem_free((void *)(uintptr_t)ns->former.p);
            ns->former = (struct tl_str){0};
            ns->emptied = false;
        }
    }
    TL_MAP_EACH (e, &s->namespaces) {
        struct tl_namespace *ns = e->value;
        if (ns->made_seq > s->durable_seq) {
            tl_map_del_num(&s->namespace_numbers, ns->number);
            tl_map_del(&s->namespaces, ns->name);
            namespace_free(ns);
        }
    }
    return tl_namespaces_load(s, err);
}

struct tl_namespace *tl_namespace_put(struct tl_server *s, const TpWs__DescribeNamespaceResponse *d)
{
    struct tl_str bytes;
    if (tl_pb_encode_arena(d, &s->arena, &bytes, NULL) != TL_OK) {
        return NULL;
    }
    bool is_new = !name_taken(s, tl_str(d->namespace_info->name));
    struct tl_namespace *ns = insert(s, s->namespaces_next, tl_str(d->namespace_info->name),
                                     tl_str(d->namespace_info->id), bytes, d);
    ns->made_seq = is_new ? s->open->seq : ns->made_seq;
    ns->seq = s->open->seq;
    tl_batch_namespace_put(&s->open->ops, (int64_t)ns->number, ns->name, ns->id, ns->bytes);
    return ns;
}

tl_rc tl_namespace_delete(struct tl_server *s, struct tl_namespace *ns, struct tl_arena *arena,
                          struct tl_error *err)
{
    TpWs__DescribeNamespaceResponse *d = NULL;
    tl_rc rc =
        tl_pb_decode(&tp_ws__describe_namespace_response__descriptor, ns->bytes, arena, &d, err);
    char *name = NULL;
    for (int n = 5; rc == TL_OK && n <= (int)ns->id.n; n++) {
        name = tl_arena_printf(arena, "%.*s-deleted-%.*s", TL_STR_FMT(ns->name), n, ns->id.p);
        if (!name || !name_taken(s, tl_str(name))) {
            break;
        }
    }
    if (rc != TL_OK || !name) {
        return rc != TL_OK ? rc : tl_error_set(err, TL_ELIMIT, "the name is too long");
    }
    struct tl_str former = dup_str(ns->name);
    d->namespace_info->name = name;
    d->namespace_info->state = (TpEnums__NamespaceState)NAMESPACE_STATE_DELETED;
    rename_to(s, ns, tl_str(name));
    if (!tl_namespace_put(s, d)) {
        rename_to(s, ns, former);
        tl_mem_free((void *)(uintptr_t)former.p);
        return tl_error_set(err, TL_ELIMIT, "the description of the namespace is too large");
    }
    ns->former = former;
    s->namespaces_deleted_seq = ns->seq;
    s->retention_at_ns = s->round_mono_ns;
    return TL_OK;
}

tl_rc tl_namespace_ensure(struct tl_server *s, struct tl_str name, struct tl_error *err)
{
    if (!tl_namespace_name_ok(name)) {
        return tl_error_set(
            err, TL_EINVAL,
            "not a namespace name: \"%.*s\" (letters, digits, _ - . and no more than 255)",
            TL_STR_FMT(name));
    }
    if (tl_namespace_find(s, name)) {
        return TL_OK;
    }
    TpWs__RegisterNamespaceRequest req = TP_WS__REGISTER_NAMESPACE_REQUEST__INIT;
    tl_arena_reset(&s->arena);
    req.namespace_ = tl_pb_cstr(&s->arena, name);
    TpWs__DescribeNamespaceResponse *d =
        tl_namespace_describe_new(s, &req, RETENTION_DEFAULT_NS, &s->arena);
    if (!d || !tl_namespace_put(s, d)) {
        return tl_error_set(err, TL_ELIMIT, "the description of a namespace is too large");
    }
    return TL_OK;
}

tl_rc tl_namespace_ensure_attribute(struct tl_server *s, struct tl_str name,
                                    struct tl_str attribute, struct tl_error *err)
{
    int type;
    TpWs__DescribeNamespaceResponse *d;
    struct tl_namespace *ns = tl_namespace_find(s, name);
    const char *sign = attribute.n ? memchr(attribute.p, '=', attribute.n) : NULL;
    if (!ns || !sign) {
        return tl_error_set(err, TL_EINVAL,
                            "not a search attribute: \"%.*s\" (Name=Type, like "
                            "CustomerId=Keyword)",
                            TL_STR_FMT(attribute));
    }
    size_t n = (size_t)(sign - attribute.p);
    struct tl_str key = tl_str_n(attribute.p, n);
    tl_rc rc = tl_attr_type_parse(tl_str_n(sign + 1, attribute.n - n - 1), &type, err);
    int have = rc == TL_OK ? tl_attrs_type(&ns->attrs, key) : 0;
    if (rc == TL_OK && have && have != type && !tl_attr_reserved(key)) {
        return tl_error_set(err, TL_EINVAL,
                            "search attribute %.*s is registered with type %s, not %s: remove it "
                            "first or choose another name",
                            TL_STR_FMT(key), tl_attr_type_name(have), tl_attr_type_name(type));
    }
    tl_arena_reset(&s->arena);
    if (rc == TL_OK) {
        rc = tl_pb_decode(&tp_ws__describe_namespace_response__descriptor, ns->bytes, &s->arena, &d,
                          err);
    }
    if (rc == TL_OK) {
        rc = tl_attrs_add(d->config, key, type, &s->arena, err);
    }
    if (rc == TL_OK && !tl_attrs_type(&ns->attrs, key) && !tl_namespace_put(s, d)) {
        rc = tl_error_set(err, TL_ELIMIT, "the description of a namespace is too large");
    }
    return rc;
}

tl_rc tl_namespace_check_attributes(void *server, uint64_t namespace_number,
                                    const TpCommon__SearchAttributes *sa,
                                    const TpCommon__SearchAttributes *merged,
                                    struct tl_arena *arena, struct tl_error *err)
{
    struct tl_server *s = server;
    const struct tl_namespace *ns = tl_map_get_num(&s->namespace_numbers, namespace_number);
    if (!ns) {
        return tl_error_set(err, TL_EINVAL, "there is no such namespace");
    }
    tl_rc rc = tl_attrs_check(&ns->attrs, ns->name, sa, arena, err);
    return rc == TL_OK ? tl_attrs_check_size(merged, err) : rc;
}

TpWs__DescribeNamespaceResponse *
tl_namespace_describe_new(struct tl_server *s, const TpWs__RegisterNamespaceRequest *req,
                          int64_t retention_ns, struct tl_arena *arena)
{
    char id[37];
    TpWs__DescribeNamespaceResponse *d =
        TL_PB_NEW(arena, TpWs__DescribeNamespaceResponse, tp_ws__describe_namespace_response);
    TpNamespace__NamespaceInfo *info =
        TL_PB_NEW(arena, TpNamespace__NamespaceInfo, tp_namespace__namespace_info);
    TpNamespace__NamespaceConfig *config =
        TL_PB_NEW(arena, TpNamespace__NamespaceConfig, tp_namespace__namespace_config);
    TpReplication__NamespaceReplicationConfig *repl =
        TL_PB_NEW(arena, TpReplication__NamespaceReplicationConfig,
                  tp_replication__namespace_replication_config);
    TpReplication__ClusterReplicationConfig *cluster = TL_PB_NEW(
        arena, TpReplication__ClusterReplicationConfig, tp_replication__cluster_replication_config);
    TpReplication__ClusterReplicationConfig **clusters = tl_arena_alloc(arena, sizeof *clusters);
    if (!d || !info || !config || !repl || !cluster || !clusters) {
        return NULL;
    }
    tl_uuid4(s->world, id);
    info->name = req->namespace_;
    info->id = tl_pb_cstr(arena, tl_str(id));
    info->state = (TpEnums__NamespaceState)NAMESPACE_STATE_REGISTERED;
    info->description = req->description;
    info->owner_email = req->owner_email;
    if (req->n_data) {
        struct tl_pb_list data = {0};
        for (size_t i = 0; i < req->n_data; i++) {
            TpNamespace__NamespaceInfo__DataEntry *e =
                TL_PB_NEW(arena, TpNamespace__NamespaceInfo__DataEntry,
                          tp_namespace__namespace_info__data_entry);
            if (!e || !tl_pb_push(arena, &data, e)) {
                return NULL;
            }
            e->key = req->data[i]->key;
            e->value = req->data[i]->value;
        }
        info->n_data = data.n;
        info->data = data.items;
    }
    config->workflow_execution_retention_ttl = tl_pb_duration_ns(arena, retention_ns);
    config->history_archival_state = (TpEnums__ArchivalState)ARCHIVAL_STATE_DISABLED;
    config->visibility_archival_state = (TpEnums__ArchivalState)ARCHIVAL_STATE_DISABLED;
    cluster->cluster_name = tl_pb_cstr(arena, TL_STR_LIT(TL_CLUSTER_NAME));
    clusters[0] = cluster;
    repl->active_cluster_name = cluster->cluster_name;
    repl->n_clusters = 1;
    repl->clusters = clusters;
    repl->state = (TpEnums__ReplicationState)REPLICATION_STATE_NORMAL;
    d->namespace_info = info;
    d->config = config;
    d->replication_config = repl;
    return d;
}
