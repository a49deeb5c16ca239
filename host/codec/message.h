/* Coding of whole messages. Private to host/codec but for tests. Thread: that of the chain. */
#pragma once

#include "codec/channel.h"
#include "codec/contexts.h"

struct tl_coder {
    struct tl_codec_chain *chain;
    enum tl_header_codec headers;
    bool encode_common_attributes;
    struct tl_contexts *contexts; /* borrowed; NULL: no codec asks whose payloads it gets */
};

/* Whether requests or responses of the method can hold payloads. */
bool tl_coder_concerns(enum tl_method method);
/* Codes the request (encode) or the response (decode) of a method; `request`: the encoded request in both
 * cases. *out is `bytes` itself or in the arena. Errors: those of the codecs; TL_EDECODE when the bytes are
 * not the message. */
tl_rc tl_coder_body(struct tl_coder *c, enum tl_method method, enum tl_codec_way way,
                    struct tl_str request, struct tl_str bytes, struct tl_arena *arena,
                    struct tl_str *out, struct tl_error *err) TL_MUST_USE;
/* The same for the google.rpc.Status of a refused call; left as it is when it cannot be decoded. */
struct tl_str tl_coder_details(struct tl_coder *c, enum tl_method method, struct tl_str request,
                               struct tl_str details, struct tl_arena *arena);
