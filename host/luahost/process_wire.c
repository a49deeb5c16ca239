/* See process_wire.h. */
#include "luahost/process_wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"

#define HEAD_BYTES ((size_t)5)

static void write_u32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (unsigned char)(v >> (8 * i));
    }
}

static uint32_t read_u32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void tl_process_begin(struct tl_buf *b, enum tl_process_frame kind)
{
    const unsigned char head[HEAD_BYTES] = {0, 0, 0, 0, (unsigned char)kind};
    tl_buf_clear(b);
    tl_buf_put(b, head, sizeof head);
}

void tl_process_put(struct tl_buf *b, struct tl_str field)
{
    unsigned char length[4];
    write_u32(length, (uint32_t)field.n);
    tl_buf_put(b, length, sizeof length);
    tl_buf_put(b, field.p, field.n);
}

void tl_process_put_u32(struct tl_buf *b, uint32_t field)
{
    unsigned char bytes[4];
    write_u32(bytes, field);
    tl_process_put(b, tl_str_n((const char *)bytes, sizeof bytes));
}

bool tl_process_send(int fd, struct tl_buf *b)
{
    if (tl_buf_failed(b)) {
        return false;
    }
    write_u32((unsigned char *)b->p, (uint32_t)(b->n - 4));
    for (size_t sent = 0; sent < b->n;) {
        ssize_t n = send(fd, b->p + sent, b->n - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        sent += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool receive_bytes(int fd, struct tl_buf *b, size_t n)
{
    char *to = tl_buf_reserve(b, n);
    for (size_t got = 0; to && got < n;) {
        ssize_t part = recv(fd, to + got, n - got, 0);
        if (part == 0 || (part < 0 && errno != EINTR)) {
            return false;
        }
        got += part > 0 ? (size_t)part : 0;
    }
    if (to) {
        tl_buf_added(b, n);
    }
    return to != NULL;
}

bool tl_process_receive(int fd, struct tl_buf *b, enum tl_process_frame *kind,
                        struct tl_str *fields)
{
    tl_buf_clear(b);
    if (!receive_bytes(fd, b, HEAD_BYTES)) {
        return false;
    }
    uint32_t n = read_u32((const unsigned char *)b->p);
    *kind = (enum tl_process_frame)(unsigned char)b->p[4];
    tl_buf_clear(b);
    if (n < 1 || n > TL_PROCESS_FRAME_MAX || !receive_bytes(fd, b, n - 1)) {
        return false;
    }
    *fields = tl_buf_str(b);
    return true;
}

struct tl_str tl_process_take(struct tl_str *fields)
{
    struct tl_str none = {"", 0};
    if (fields->n < 4) {
        return none;
    }
    uint32_t n = read_u32((const unsigned char *)fields->p);
    if (n > fields->n - 4) {
        fields->n = 0;
        return none;
    }
    struct tl_str field = tl_str_n(fields->p + 4, n);
    *fields = tl_str_n(fields->p + 4 + n, fields->n - 4 - n);
    return field;
}

uint32_t tl_process_take_u32(struct tl_str *fields)
{
    struct tl_str field = tl_process_take(fields);
    return field.n == 4 ? read_u32((const unsigned char *)field.p) : 0;
}
