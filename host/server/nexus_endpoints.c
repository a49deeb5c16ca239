/* The table of Nexus endpoints and what is stored of it. See nexus_endpoints.h. */
#include "server/nexus_endpoints.h"

#include "base/mem.h"

#define RECORD_BYTES_MAX ((size_t)1 << 20)
#define KEY_PREFIX "nexus-endpoint/"

static struct tl_str key_of(struct tl_server *s, struct tl_str id)
{
    tl_buf_clear(&s->scratch);
    tl_buf_puts(&s->scratch, KEY_PREFIX);
    tl_buf_put_str(&s->scratch, id);
    return tl_buf_str(&s->scratch);
}

static void endpoint_free(struct tl_nexus_endpoint *e)
{
    tl_arena_deinit(&e->arena);
    tl_mem_free(e);
}

void tl_nexus_endpoints_init(struct tl_server *s)
{
    tl_map_init(&s->endpoints);
}

void tl_nexus_endpoints_free(struct tl_server *s)
{
    TL_MAP_EACH (entry, &s->endpoints) {
        endpoint_free(entry->value);
    }
    tl_map_deinit(&s->endpoints);
}

/* From encoded bytes; replaces what the id has. */
static struct tl_nexus_endpoint *take(struct tl_server *s, struct tl_str bytes,
                                      struct tl_error *err)
{
    struct tl_nexus_endpoint *e = TL_NEW(struct tl_nexus_endpoint);
    tl_arena_init(&e->arena, RECORD_BYTES_MAX * 8);
    tl_rc rc = tl_pb_decode(&tp_nexus__endpoint__descriptor, bytes, &e->arena, &e->e, err);
    if (rc == TL_OK &&
        (!e->e->spec || !e->e->spec->target ||
         e->e->spec->target->variant_case != TP_NEXUS__ENDPOINT_TARGET__VARIANT_WORKER)) {
        rc = tl_error_set(err, TL_EDECODE, "the record of a Nexus endpoint is damaged");
    }
    if (rc != TL_OK) {
        endpoint_free(e);
        return NULL;
    }
    e->id = tl_str(e->e->id);
    struct tl_nexus_endpoint *old = tl_map_put(&s->endpoints, e->id, e);
    if (old) {
        e->seq = old->seq;
        endpoint_free(old);
    }
    return e;
}

static tl_rc load_row(void *ud, struct tl_str key, struct tl_str value, struct tl_error *err)
{
    (void)key;
    return take(ud, value, err) ? TL_OK : err->code;
}

tl_rc tl_nexus_endpoints_load(struct tl_server *s, struct tl_error *err)
{
    tl_nexus_endpoints_free(s);
    tl_nexus_endpoints_init(s);
    return tl_store_meta_each(tl_store_point_reader(s->store), TL_STR_LIT(KEY_PREFIX), load_row, s,
                              err);
}

struct tl_nexus_endpoint *tl_nexus_endpoint_by_id(struct tl_server *s, struct tl_str id)
{
    return tl_map_get(&s->endpoints, id);
}

struct tl_nexus_endpoint *tl_nexus_endpoint_by_name(struct tl_server *s, struct tl_str name)
{
    TL_MAP_EACH (entry, &s->endpoints) {
        struct tl_nexus_endpoint *e = entry->value;
        if (tl_str_eqc(name, e->e->spec->name)) {
            return e;
        }
    }
    return NULL;
}

struct tl_str tl_nexus_endpoint_id_of(void *server, struct tl_str name)
{
    struct tl_nexus_endpoint *e = tl_nexus_endpoint_by_name(server, name);
    return e ? e->id : (struct tl_str){NULL, 0};
}

struct tl_nexus_endpoint *tl_nexus_endpoint_put(struct tl_server *s, const TpNexus__Endpoint *e,
                                                struct tl_error *err)
{
    struct tl_nexus_endpoint *made = NULL;
    struct tl_buf b;
    tl_buf_init(&b, RECORD_BYTES_MAX);
    if (tl_pb_encode(e, &b, err) == TL_OK && (made = take(s, tl_buf_str(&b), err))) {
        made->seq = s->open->seq;
        tl_batch_meta_put(&s->open->ops, key_of(s, made->id), tl_buf_str(&b));
    }
    tl_buf_deinit(&b);
    return made;
}

void tl_nexus_endpoint_delete(struct tl_server *s, struct tl_nexus_endpoint *e)
{
    tl_batch_meta_delete(&s->open->ops, key_of(s, e->id));
    tl_map_del(&s->endpoints, e->id);
    endpoint_free(e);
}
