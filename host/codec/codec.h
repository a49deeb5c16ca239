/* Payload codecs: bytes to bytes, after the data converter made a payload of a value and before the
 * service sees it; and the reverse. A chain applies its codecs last to first when it encodes and
 * first to last when it decodes, as other SDKs do.
 *
 * Ownership: a codec belongs to its chain, a chain to who made it (tl_codec_chain_deinit).
 * Thread: one at a time per codec. */
#pragma once

#include "fetch/fetch.h"
#include "proto/payload_walk.h"

#define TL_CODECS_MAX 17 /* external storage and 16 others */

enum tl_codec_way { TL_CODEC_ENCODE, TL_CODEC_DECODE };

struct tl_codec;
struct tl_codec_ops {
    const char *name; /* for messages: "aes_gcm" */
    /* Replaces payloads of the span; new ones live in the arena. Payloads that are not of this codec
     * pass a decode as they are. May wait. */
    tl_rc (*apply)(struct tl_codec *c, enum tl_codec_way way, struct tl_payload_span *span,
                   struct tl_arena *arena, struct tl_error *err);
    void (*free)(struct tl_codec *c);
};

/* Every codec begins with this header. */
struct tl_codec {
    const struct tl_codec_ops *ops;
    bool asks_context; /* whether it reads `context` of the spans that it gets */
};

struct tl_codec_chain {
    struct tl_codec *items[TL_CODECS_MAX]; /* owned */
    size_t n;
};

/* False when the chain is full; the codec is freed then. Takes the codec over. */
bool tl_codec_chain_add(struct tl_codec_chain *chain, struct tl_codec *codec);
void tl_codec_chain_deinit(struct tl_codec_chain *chain);
/* Whether one of its codecs asks whose payloads it gets. */
bool tl_codec_chain_asks(const struct tl_codec_chain *chain);
/* Errors: those of the codecs, with the codec's name in front. */
tl_rc tl_codec_chain_apply(struct tl_codec_chain *chain, enum tl_codec_way way,
                           struct tl_payload_span *span, struct tl_arena *arena,
                           struct tl_error *err) TL_MUST_USE;

/* --- built-in codecs --------------------------------------------------------------------------- */

struct tl_codec_key {
    struct tl_str id, key; /* key: 16, 24 or 32 bytes */
};
/* AES-GCM. Encodes with the key named `active`, decodes with whichever key a payload names. The
 * layout is that of the encryption samples of other SDKs: encoding "binary/encrypted", the key's id
 * under "encryption-key-id", data = nonce, ciphertext and tag of the encoded payload.
 * Copies the keys and wipes them when freed. Errors: TL_EINVAL (no keys, a key's size, an active id
 * that no key has). */
tl_rc tl_codec_aes_gcm(struct tl_codec **out, const struct tl_codec_key *keys, size_t n,
                       struct tl_str active, struct tl_error *err) TL_MUST_USE;

/* zlib (RFC 1950), encoding "binary/zlib", data = the compressed encoded payload. Leaves payloads
 * alone that are smaller than min_bytes or would not shrink. level: 1..9. What inflates to more than
 * the limit of a request is refused. */
tl_rc tl_codec_zlib(struct tl_codec **out, int level, size_t min_bytes,
                    struct tl_error *err) TL_MUST_USE;

struct tl_codec_remote {
    struct tl_str endpoint;       /* http://... or https://...; "{namespace}" in it is replaced */
    struct tl_str namespace_name; /* sent as X-Namespace */
    struct tl_str auth;           /* sent as Authorization; empty: none */
    const char *const *headers;   /* "Name: value"; NULL-terminated; may be NULL */
    int64_t timeout_ms;           /* of each request */
    const struct tl_fetch_tls_options *tls; /* NULL: as the system has it */
};
/* Asks a codec server, as other SDKs' servers answer: POST <endpoint>/encode and /decode of all payloads
 * of a place at once. Copies the options. Errors: TL_EINVAL (an option), those of tl_fetch_tls_open; of
 * apply: those of fetch.h, with TL_EPRECONDITION for a server that did not answer three times or in time,
 * TL_EDECODE (no payloads in the answer). */
tl_rc tl_codec_remote(struct tl_codec **out, const struct tl_codec_remote *options,
                      struct tl_error *err) TL_MUST_USE;
