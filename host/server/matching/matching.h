/* Matching: task queues where tasks meet polls. Sans-IO: the caller brings the time and delivers; this
 * module only decides who gets what, in which order.
 *
 * Rules: a parked poll takes a task before it is queued (sync match); polls leave in order of arrival,
 * tasks by priority, in it shared between fairness keys by their weights, then by age; a poll whose
 * caller has gone never gets a task; a task that could not be handed over goes back to the place it
 * had; a sticky queue that nobody has polled for a while counts as absent.
 * The backlog lives in memory: it is made again from the runs' states when the server opens.
 *
 * Ownership: tasks and polls are embedded in the caller's structs and belong to it; while linked they
 * must stay where they are. Queues belong to the matcher.
 * Thread: one owner. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/str.h"

enum tl_queue_type { TL_QUEUE_WORKFLOW, TL_QUEUE_ACTIVITY, TL_QUEUE_NEXUS };

struct tl_match_key {
    uint64_t namespace_number;
    enum tl_queue_type type;
    bool sticky;
    struct tl_str name;
    struct tl_str version; /* of the workers it is for, "deployment:build"; empty: unversioned */
};

struct tl_match_queue;
struct tl_match_lane;

/* Priorities go from 1, which is first, to this. */
#define TL_MATCH_PRIORITIES 5
#define TL_MATCH_PRIORITY_DEFAULT 3

/* What a task says about its turn. */
struct tl_match_terms {
    int priority;               /* 0: the default; beyond the last one: the last */
    struct tl_str fairness_key; /* those of one priority share their turns by weight; borrowed */
    double weight;              /* 0: 1 */
    int64_t since_ns;           /* the task waits since then; 0: since now */
};

/* Where a task stands: kept when it comes back. */
struct tl_match_place {
    int64_t since_ns; /* read-only: it waits since then */
    uint64_t number;  /* read-only: order of arrival */
    int64_t pass;     /* private: see backlog.h; 0: it never had to wait */
};

struct tl_match_task {
    struct tl_list link;          /* private */
    struct tl_heap_node by_age;   /* private */
    struct tl_match_queue *queue; /* read-only: NULL while not queued */
    struct tl_match_lane *lane;   /* private */
    struct tl_match_place place;
    double weight; /* private: by its terms */
    int kind;      /* the caller's */
};

struct tl_match_poll {
    struct tl_list link;          /* private */
    struct tl_match_queue *queue; /* read-only: NULL while not parked */
    int64_t since_ns;             /* private: when it came first */
};

/* Tells whether a parked poll can still be answered. */
typedef bool (*tl_match_alive_fn)(void *ud, struct tl_match_poll *p);

struct tl_matcher {
    struct tl_map queues;    /* encoded key -> struct tl_match_queue */
    struct tl_map limits;    /* encoded key without version -> struct tl_match_limit */
    tl_match_alive_fn alive; /* NULL: every poll is */
    void *alive_ud;
    bool lifted; /* private: a limit has gone that may have kept some apart */
    int64_t sticky_absent_ns;
    uint64_t places;
    size_t polls_parked; /* read-only */
    size_t tasks_queued; /* read-only */
    size_t sweep_at;     /* private: number of queues at which idle ones are looked for */
};

void tl_matcher_init(struct tl_matcher *m, tl_match_alive_fn alive, void *alive_ud,
                     int64_t sticky_absent_ns);
/* Unlinks whatever is still queued or parked. */
void tl_matcher_deinit(struct tl_matcher *m);

/* Before first use; afterwards they may be asked whether they are linked. */
void tl_match_task_init(struct tl_match_task *t, int kind);
void tl_match_poll_init(struct tl_match_poll *p);
/* Which of two tasks goes first where nothing but their age counts. */
static inline bool tl_match_older(const struct tl_match_place *a, const struct tl_match_place *b)
{
    return a->since_ns < b->since_ns || (a->since_ns == b->since_ns && a->number < b->number);
}

static inline bool tl_match_task_queued(const struct tl_match_task *t)
{
    return tl_list_linked(&t->link);
}

/* A new task; `terms` may be NULL. Returns the parked poll that takes it (no longer parked; the task is not queued), or
 * NULL when the task now waits in the queue. */
struct tl_match_poll *tl_match_offer(struct tl_matcher *m, const struct tl_match_key *key,
                                     struct tl_match_task *t, const struct tl_match_terms *terms,
                                     int64_t now_ns) __attribute__((warn_unused_result));
/* A task whose delivery failed: as offer, but to the place it had, which t->place tells. */
struct tl_match_poll *tl_match_put_back(struct tl_matcher *m, const struct tl_match_key *key,
                                        struct tl_match_task *t, const struct tl_match_terms *terms,
                                        int64_t now_ns) __attribute__((warn_unused_result));
/* All tasks that were offered have waited, and came in any order; no poll is parked: they go by their age. */
void tl_match_loaded(struct tl_matcher *m);
/* A new poll. Returns the task it takes (no longer queued; the poll is not parked), or NULL when the
 * poll is now parked. Counts as a sign of life of the queue and of the poller `identity`. */
struct tl_match_task *tl_match_poll(struct tl_matcher *m, const struct tl_match_key *key,
                                    struct tl_match_poll *p, struct tl_str identity, int64_t now_ns)
    __attribute__((warn_unused_result));
/* What the server advises the worker of a poll on this queue that has just taken a task: one poll more (1),
 * one fewer (-1), or nothing (0). Counts as given. */
int tl_match_advice(struct tl_matcher *m, const struct tl_match_key *key,
                    const struct tl_match_poll *p, int64_t now_ns);
/* Takes a task out of its queue / a poll out of the parking; fine when it is in none. */
void tl_match_task_drop(struct tl_matcher *m, struct tl_match_task *t);
void tl_match_poll_drop(struct tl_matcher *m, struct tl_match_poll *p);

/* What an operator set for the queues of a name and type, all versions together. */
struct tl_match_weight {
    struct tl_str key;
    double weight;
};
struct tl_match_rules {
    double per_s;     /* tasks a second that may leave; 0: none; negative: no limit */
    double key_per_s; /* the same for each fairness key, times its weight */
    const struct tl_match_weight *weights; /* of keys, in place of what their tasks say */
    size_t weight_count;
};
/* As many tasks may go at once as a limit gives in a second. What it holds back waits in the queue, beside
 * polls; a key that is held back does not hold others. The rules are copied. */
void tl_match_limit(struct tl_matcher *m, const struct tl_match_key *key,
                    const struct tl_match_rules *rules, int64_t now_ns);
/* When a task and a poll that a limit keeps apart may meet next; INT64_MAX: never, or there are none. */
int64_t tl_match_limited_until(struct tl_matcher *m, int64_t now_ns);
/* Such a task with its poll in *p, as tl_match_poll returns it; NULL when none may go now. */
struct tl_match_task *tl_match_released(struct tl_matcher *m, struct tl_match_poll **p,
                                        int64_t now_ns) __attribute__((warn_unused_result));

/* False when nobody has polled the (sticky) queue for sticky_absent_ns and nobody is parked there. */
bool tl_match_attended(const struct tl_matcher *m, const struct tl_match_key *key, int64_t now_ns);

/* Nobody will poll the (sticky) queue again: it is not attended from now on, and what waits in it is taken
 * out and handed to fn, which may offer it elsewhere. */
void tl_match_abandon(struct tl_matcher *m, const struct tl_match_key *key,
                      void (*fn)(void *ud, struct tl_match_task *t), void *ud);

struct tl_match_queue_info {
    size_t backlog;       /* tasks waiting */
    size_t polls;         /* polls parked */
    int64_t oldest_ns;    /* since when the oldest task waits, 0 when there is none */
    int64_t last_poll_ns; /* 0: never */
    uint64_t tasks_added, tasks_taken;
    double added_per_s, taken_per_s; /* over the last half minute */
};
/* False when the queue does not exist (nobody has polled it and it has no task). */
bool tl_match_queue_info(const struct tl_matcher *m, const struct tl_match_key *key, int64_t now_ns,
                         struct tl_match_queue_info *out);
/* The same of the tasks of one priority, from 1; false when the queue never had any. Polls are not told. */
bool tl_match_priority_info(const struct tl_matcher *m, const struct tl_match_key *key,
                            int priority, int64_t now_ns, struct tl_match_queue_info *out);
/* Pollers seen in the last five minutes, in order of their first poll. Returns their number; calls
 * fn for each when it is not NULL. */
size_t tl_match_pollers(const struct tl_matcher *m, const struct tl_match_key *key, int64_t now_ns,
                        void (*fn)(void *ud, struct tl_str identity, int64_t last_poll_ns),
                        void *ud);
/* Polls parked on one queue, or on all (key NULL), in order of arrival. fn may drop the poll it is
 * given, no other. */
void tl_match_each_poll(struct tl_matcher *m, const struct tl_match_key *key,
                        void (*fn)(void *ud, struct tl_match_poll *p), void *ud);
/* Queues of that name for any version, with what is in them. */
void tl_match_each_version(const struct tl_matcher *m, const struct tl_match_key *key,
                           void (*fn)(void *ud, const struct tl_match_key *key), void *ud);
/* Key of a queue, borrowed from it. */
struct tl_match_key tl_match_queue_key(const struct tl_match_queue *q);

/* Whether a task waits in a queue that somebody polls or polled: it may be fetched at any moment. */
bool tl_matcher_backlog_has_pollers(const struct tl_matcher *m);
