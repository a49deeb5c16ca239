/* External storage: large payloads are kept by a driver elsewhere, and a reference goes to the service in
 * their place. A codec that stands before all others: what is stored is encoded already.
 *
 * A reference is a json/protobuf payload of temporal.api.sdk.v1.ExternalStorageReference with the size
 * under external_payloads, as the Python SDK writes it: the driver's name and what the driver needs to
 * find the payload again, its claim.
 *
 * Ownership: drivers belong to their codec. Thread: one at a time. */
#pragma once

#include <temporal/api/sdk/v1/external_storage.pb-c.h>

#include "codec/codec.h"
#include "proto/payload_context.h"

#define TL_STORAGE_DRIVERS_MAX 16

struct tl_storage_driver;

struct tl_storage_driver_ops {
    /* Keeps the bytes of an encoded payload and adds what finds them again to ref->claim_data
     * (tl_storage_claim_add). Whose it is: context, which may be NULL. May wait. */
    tl_rc (*store)(struct tl_storage_driver *d, struct tl_str bytes,
                   const struct tl_payload_context *context, TpSdk__ExternalStorageReference *ref,
                   struct tl_arena *arena, struct tl_error *err);
    /* *out: the same bytes, in the arena. May wait. */
    tl_rc (*retrieve)(struct tl_storage_driver *d, const TpSdk__ExternalStorageReference *ref,
                      const struct tl_payload_context *context, struct tl_arena *arena,
                      struct tl_str *out, struct tl_error *err);
    void (*free)(struct tl_storage_driver *d);
};

/* Every driver begins with this header. */
struct tl_storage_driver {
    const struct tl_storage_driver_ops *ops;
    char *name;        /* owned by the codec, which sets it */
    bool asks_context; /* whether it reads `context` */
};

/* Chooses among several drivers. */
struct tl_storage_selector {
    void *ud;
    /* *driver: an index; -1: the payload stays where it is. context may be NULL. */
    tl_rc (*select)(void *ud, const TpCommon__Payload *payload, size_t payload_bytes,
                    const struct tl_payload_context *context, int *driver, struct tl_error *err);
    void (*free)(void *ud);
};

struct tl_storage_options {
    struct tl_storage_driver *drivers[TL_STORAGE_DRIVERS_MAX]; /* taken over */
    const char *names[TL_STORAGE_DRIVERS_MAX];                 /* copied */
    size_t n;
    struct tl_storage_selector selector; /* taken over; select NULL: the first driver */
    size_t threshold_bytes;              /* encoded payloads from this size up are stored */
};

/* Errors of apply: those of drivers, with the driver's name in front; TL_ENOTFOUND (a reference of a
 * driver that is not there). */
struct tl_codec *tl_codec_storage(const struct tl_storage_options *options);
/* Frees what tl_codec_storage was to take over. */
void tl_storage_options_free(struct tl_storage_options *o);

/* --- for drivers ------------------------------------------------------------------------------- */

/* False when the arena is full. Copies. */
bool tl_storage_claim_add(TpSdk__ExternalStorageReference *ref, struct tl_arena *arena,
                          const char *key, struct tl_str value);
/* "" when it is not there; borrowed. */
const char *tl_storage_claim_get(const TpSdk__ExternalStorageReference *ref, const char *key);
/* Adds hash_algorithm and hash_value of the bytes; hex: the value. */
bool tl_storage_claim_hash(TpSdk__ExternalStorageReference *ref, struct tl_arena *arena,
                           struct tl_str bytes, char *hex);
/* Whether the bytes have the hash of the claim. Errors: TL_EDATALOSS. */
tl_rc tl_storage_claim_check(const TpSdk__ExternalStorageReference *ref, struct tl_str bytes,
                             struct tl_error *err) TL_MUST_USE;

/* --- built-in drivers -------------------------------------------------------------------------- */

/* Files below a folder, named by the SHA-256 of their content, written whole or not at all.
 * Errors: TL_EINVAL (no folder). */
tl_rc tl_storage_file(struct tl_storage_driver **out, const char *folder,
                      struct tl_error *err) TL_MUST_USE;

struct tl_storage_http_options {
    struct tl_str endpoint;       /* http://... or https://... */
    struct tl_str bucket;         /* path below it, as in object stores of the S3 kind */
    struct tl_str namespace_name; /* part of the keys */
    const char *const *headers;   /* "Name: value"; NULL-terminated */
    int64_t timeout_ms;
    const struct tl_fetch_tls_options *tls; /* NULL: as the system has it */
};
/* PUT and GET of <endpoint>/<bucket>/v0/ns/<namespace>/d/sha256/<hash>; the claims are those of the
 * Python SDK's driver for S3. Copies the options. Errors: TL_EINVAL, those of tl_fetch_tls_open. */
tl_rc tl_storage_http(struct tl_storage_driver **out, const struct tl_storage_http_options *options,
                      struct tl_error *err) TL_MUST_USE;
