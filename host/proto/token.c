/* Task and page tokens. See token.h. Thread: any. */
#include "proto/token.h"

#define VERSION 1
#define CRC_BYTES 4
#define FIELDS_MAX 8

/* The fields of one token in the order in which they travel. */
struct layout {
    int64_t *integers[FIELDS_MAX];
    struct tl_str *strings[FIELDS_MAX];
    size_t integer_count, string_count;
};

static struct layout task_layout(struct tl_task_token *t)
{
    return (struct layout){
        .integers = {&t->namespace_number, &t->run_number, &t->scheduled_event_id,
                     &t->started_event_id, &t->started_time_ns, &t->attempt},
        .integer_count = 6,
        .strings = {&t->workflow_id, &t->run_id, &t->extra},
        .string_count = 3,
    };
}

static struct layout page_layout(struct tl_page_token *t)
{
    return (struct layout){
        .integers = {&t->run_number, &t->position, &t->limit, &t->time_ns},
        .integer_count = 4,
        .strings = {&t->run_id, &t->key},
        .string_count = 2,
    };
}

/* CRC-32 (IEEE 802.3), four bits at a time: tokens are short. */
static uint32_t crc32_of(const char *p, size_t n)
{
    static const uint32_t TABLE[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= (uint8_t)p[i];
        crc = (crc >> 4) ^ TABLE[crc & 15];
        crc = (crc >> 4) ^ TABLE[crc & 15];
    }
    return ~crc;
}

static tl_rc encode(int kind, const struct layout *l, struct tl_buf *out, struct tl_error *err)
{
    size_t start = out->n;
    tl_buf_putc(out, VERSION);
    tl_buf_putc(out, (char)kind);
    for (size_t i = 0; i < l->integer_count; i++) {
        uint64_t v = (uint64_t)*l->integers[i];
        tl_buf_put_varint(out, (v << 1) ^ (v >> 63 ? UINT64_MAX : 0));
    }
    for (size_t i = 0; i < l->string_count; i++) {
        tl_buf_put_varint(out, l->strings[i]->n);
        tl_buf_put_str(out, *l->strings[i]);
    }
    if (tl_buf_failed(out) || out->n - start > TL_TOKEN_BYTES_MAX - CRC_BYTES) {
        return tl_error_set(err, TL_ELIMIT, "token is too long");
    }
    uint32_t crc = crc32_of(out->p + start, out->n - start);
    for (int i = 0; i < CRC_BYTES; i++) {
        tl_buf_putc(out, (char)(crc >> (8 * i) & 0xFF));
    }
    return tl_buf_failed(out) ? tl_error_set(err, TL_ELIMIT, "token is too long") : TL_OK;
}

static bool get_varint(struct tl_str *s, uint64_t *v)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && s->n > 0; shift += 7) {
        uint8_t byte = (uint8_t)*s->p++;
        s->n--;
        if (shift == 63 && byte > 1) {
            return false;
        }
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *v = value;
            return true;
        }
    }
    return false;
}

static bool get_fields(struct tl_str s, const struct layout *l)
{
    for (size_t i = 0; i < l->integer_count; i++) {
        uint64_t v;
        if (!get_varint(&s, &v)) {
            return false;
        }
        *l->integers[i] = (int64_t)((v >> 1) ^ (v & 1 ? UINT64_MAX : 0));
    }
    for (size_t i = 0; i < l->string_count; i++) {
        uint64_t n;
        if (!get_varint(&s, &n) || n > s.n) {
            return false;
        }
        *l->strings[i] = tl_str_n(s.p, (size_t)n);
        s.p += n;
        s.n -= (size_t)n;
    }
    return s.n == 0;
}

/* Kind of a token whose frame is sound, 0 otherwise. */
static int check_frame(struct tl_str bytes)
{
    if (bytes.n < 2 + CRC_BYTES || bytes.n > TL_TOKEN_BYTES_MAX || bytes.p[0] != VERSION) {
        return 0;
    }
    uint32_t crc = 0;
    for (size_t i = 0; i < CRC_BYTES; i++) {
        crc |= (uint32_t)(uint8_t)bytes.p[bytes.n - CRC_BYTES + i] << (8 * i);
    }
    return crc == crc32_of(bytes.p, bytes.n - CRC_BYTES) ? (uint8_t)bytes.p[1] : 0;
}

static struct tl_str body_of(struct tl_str bytes)
{
    return tl_str_n(bytes.p + 2, bytes.n - 2 - CRC_BYTES);
}

tl_rc tl_task_token_encode(const struct tl_task_token *t, struct tl_buf *out, struct tl_error *err)
{
    if (t->kind < TL_TASK_WORKFLOW || t->kind > TL_TASK_KIND_MAX) {
        return tl_error_set(err, TL_EINVAL, "task token of unknown kind %d", (int)t->kind);
    }
    struct tl_task_token copy = *t;
    struct layout l = task_layout(&copy);
    return encode((int)t->kind, &l, out, err);
}

tl_rc tl_page_token_encode(const struct tl_page_token *t, struct tl_buf *out, struct tl_error *err)
{
    if (t->kind < TL_PAGE_HISTORY || t->kind > TL_PAGE_KIND_MAX) {
        return tl_error_set(err, TL_EINVAL, "page token of unknown kind %d", (int)t->kind);
    }
    struct tl_page_token copy = *t;
    struct layout l = page_layout(&copy);
    return encode((int)t->kind, &l, out, err);
}

tl_rc tl_task_token_decode(struct tl_str bytes, struct tl_task_token *t, struct tl_error *err)
{
    int kind = check_frame(bytes);
    *t = (struct tl_task_token){0};
    struct layout l = task_layout(t);
    if (kind < TL_TASK_WORKFLOW || kind > TL_TASK_KIND_MAX || !get_fields(body_of(bytes), &l)) {
        *t = (struct tl_task_token){0};
        return tl_error_set(err, TL_EINVAL, "Invalid TaskToken.");
    }
    t->kind = (enum tl_task_kind)kind;
    return TL_OK;
}

tl_rc tl_page_token_decode(struct tl_str bytes, struct tl_page_token *t, struct tl_error *err)
{
    int kind = check_frame(bytes);
    *t = (struct tl_page_token){0};
    struct layout l = page_layout(t);
    if (kind < TL_PAGE_HISTORY || kind > TL_PAGE_KIND_MAX || !get_fields(body_of(bytes), &l)) {
        *t = (struct tl_page_token){0};
        return tl_error_set(err, TL_EINVAL, "Invalid NextPageToken.");
    }
    t->kind = (enum tl_page_kind)kind;
    return TL_OK;
}
