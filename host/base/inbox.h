/* Inbox: the only door between threads. Many senders, one receiver; bounded; messages are intrusive
 * nodes owned by the sender until sent and by the receiver after receipt.
 * The receiver may wait (thread) or be stepped (simulation). */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tl_msg {
    struct tl_msg *next; /* private while in an inbox */
    int kind;            /* the sender's: what the receiver finds around the node */
};

struct tl_inbox_waiter; /* private: on the stack of a receiver that waits */

struct tl_inbox {
    pthread_mutex_t mutex;
    struct tl_msg *head, **tail;
    size_t count, count_max;
    struct tl_inbox_waiter *waiters; /* the one that came last first */
    uint64_t kicks;
    bool closed;
};

void tl_inbox_init(struct tl_inbox *b, size_t count_max);
void tl_inbox_deinit(struct tl_inbox *b); /* must be empty */

/* False when full or closed: the sender keeps the message (back-pressure). */
bool tl_inbox_send(struct tl_inbox *b, struct tl_msg *m) __attribute__((warn_unused_result));
/* Ignores the bound: for messages that must arrive (completions of accepted work, stop). False only
 * when closed. */
bool tl_inbox_send_always(struct tl_inbox *b, struct tl_msg *m) __attribute__((warn_unused_result));
/* Takes all messages at once as a chain in arrival order, NULL when none. Waits until
 * deadline_mono_ns (CLOCK_MONOTONIC; 0: do not wait, INT64_MAX: for ever) for the first. */
struct tl_msg *tl_inbox_take_all(struct tl_inbox *b, int64_t deadline_mono_ns);
/* Takes one message; as above. For pools of several receivers: of those that wait, the one that came last is
 * woken, whose memory is the warmest. */
struct tl_msg *tl_inbox_take_one(struct tl_inbox *b, int64_t deadline_mono_ns);
/* As tl_inbox_take_one, but NULL at once when there was a kick since `kicks` was read: what a kick
 * announced and was not seen yet is not slept over. */
struct tl_msg *tl_inbox_take_one_since(struct tl_inbox *b, int64_t deadline_mono_ns,
                                       uint64_t kicks);
uint64_t tl_inbox_kicks(struct tl_inbox *b);
/* Wakes the receivers without a message. */
void tl_inbox_kick(struct tl_inbox *b);
/* After close, sends fail; receivers drain what is there and then get NULL at once. */
void tl_inbox_close(struct tl_inbox *b);
bool tl_inbox_closed(struct tl_inbox *b);
