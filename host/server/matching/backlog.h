/* The backlog of one task queue: which of the tasks that wait goes next. Private to matching/.
 *
 * A level for each priority, a lane in it for each fairness key that has tasks there. Lanes share a level by
 * stride scheduling: a task is given a pass when it comes, its lane's last one and a stride that is
 * shorter the heavier the key; the lane whose first task has the smallest pass goes first, and equal passes
 * take turns. A key that comes new begins where the level is, so nobody saves up by staying away.
 *
 * A lane whose key may not go yet, by a limit of the keys' rate, rests until it may; others pass it.
 *
 * Thread: one owner. */
#pragma once

#include "base/heap.h"
#include "base/map.h"
#include "server/matching/matching.h"
#include "server/matching/rate.h"

struct tl_match_limit;

struct tl_match_level {
    struct tl_match_lane *plain; /* of tasks without a fairness key */
    struct tl_map lanes;         /* fairness key -> struct tl_match_lane, the plain one too */
    struct tl_heap ready;        /* by the pass of the first task */
    struct tl_heap resting;      /* by the time when the key may go again */
    struct tl_heap by_age;       /* all tasks, by the time since when they wait */
    size_t count, lanes_empty;
    int64_t pass; /* of the task that went last */
    struct tl_rate add_rate, take_rate;
};

struct tl_backlog {
    struct tl_match_level *levels[TL_MATCH_PRIORITIES]; /* made when first used */
    size_t count;
};

void tl_backlog_init(struct tl_backlog *b);
/* All tasks must have been removed. */
void tl_backlog_deinit(struct tl_backlog *b);
/* The level of a task with these terms; NULL terms: the usual ones. Borrowed. */
struct tl_match_level *tl_backlog_level(struct tl_backlog *b, const struct tl_match_terms *terms);

/* A task that has a pass keeps it. */
void tl_backlog_push(struct tl_backlog *b, struct tl_match_task *t,
                     const struct tl_match_terms *terms, const struct tl_match_limit *limit);
/* `taken`: by a poll, so that its level has got to its pass. */
void tl_backlog_remove(struct tl_backlog *b, struct tl_match_task *t, bool taken);
/* Gives all tasks their turns as if they had come in order of age. */
void tl_backlog_arrange(struct tl_backlog *b, const struct tl_match_limit *limit);
/* Level and fairness key of a task in the backlog; the key is valid until it is removed. */
struct tl_match_level *tl_backlog_level_of(const struct tl_match_task *t);
struct tl_str tl_backlog_key(const struct tl_match_task *t);

/* The task that goes next; NULL when none may go now. A limit of the whole queue is not looked at. */
struct tl_match_task *tl_backlog_next(struct tl_backlog *b, const struct tl_match_limit *limit,
                                      int64_t now_ns);
/* When the limit of the keys lets one go; INT64_MAX: never, or there is none. */
int64_t tl_backlog_ready_ns(struct tl_backlog *b, const struct tl_match_limit *limit,
                            int64_t now_ns);
/* The limit of the keys has changed: whoever rests is looked at again. */
void tl_backlog_wake(struct tl_backlog *b);
/* Since when the oldest task waits, of all or of a level; 0 when there is none. */
int64_t tl_backlog_oldest_ns(const struct tl_backlog *b);
int64_t tl_backlog_level_oldest_ns(const struct tl_match_level *level);
