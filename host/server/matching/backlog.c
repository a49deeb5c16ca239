/* Levels and lanes of a task queue's backlog. See backlog.h. */
#include "server/matching/backlog.h"

#include <stdlib.h>

#include "base/mem.h"
#include "server/matching/limit.h"

/* Stride of a key of weight 1; the lightest weight still has one that fits. */
#define STRIDE 1000.0
#define WEIGHT_MIN 0.001
/* Empty lanes that are kept for what they know of their key's share. */
#define LANES_EMPTY_MAX 1000

struct tl_match_lane {
    struct tl_match_level *level;
    struct tl_list tasks;     /* by pass */
    struct tl_heap_node turn; /* in level->ready or level->resting while there are tasks */
    bool rests;
    int64_t pass; /* given last */
    size_t key_n;
    char key[];
};

void tl_backlog_init(struct tl_backlog *b)
{
    *b = (struct tl_backlog){0};
}

void tl_backlog_deinit(struct tl_backlog *b)
{
    for (size_t i = 0; i < TL_MATCH_PRIORITIES; i++) {
        struct tl_match_level *level = b->levels[i];
        if (!level) {
            continue;
        }
        TL_MAP_EACH (e, &level->lanes) {
            tl_mem_free(e->value);
        }
        tl_map_deinit(&level->lanes);
        tl_heap_deinit(&level->ready);
        tl_heap_deinit(&level->resting);
        tl_heap_deinit(&level->by_age);
        tl_mem_free(level);
    }
}

static struct tl_match_lane *new_lane(struct tl_match_level *level, struct tl_str key)
{
    struct tl_match_lane *lane = tl_mem_alloc(sizeof *lane + key.n + 1);
    *lane = (struct tl_match_lane){.level = level, .key_n = key.n};
    tl_list_init(&lane->tasks);
    if (key.n) {
        memcpy(lane->key, key.p, key.n);
    }
    tl_map_put(&level->lanes, key, lane);
    level->lanes_empty++;
    return lane;
}

struct tl_match_level *tl_backlog_level(struct tl_backlog *b, const struct tl_match_terms *terms)
{
    int priority = terms && terms->priority > 0 ? terms->priority : TL_MATCH_PRIORITY_DEFAULT;
    size_t at = (size_t)(priority < TL_MATCH_PRIORITIES ? priority : TL_MATCH_PRIORITIES) - 1;
    struct tl_match_level *level = b->levels[at];
    if (!level) {
        level = b->levels[at] = TL_NEW(struct tl_match_level);
        tl_map_init(&level->lanes);
        tl_heap_init(&level->ready);
        tl_heap_init(&level->resting);
        tl_heap_init(&level->by_age);
        level->plain = new_lane(level, (struct tl_str){0});
    }
    return level;
}

/* Those that are behind their level know nothing that a new one would not; when that is not enough all go,
 * and their keys begin anew. */
static void sweep(struct tl_match_level *level)
{
    for (int all = 0; all < 2 && level->lanes_empty > LANES_EMPTY_MAX / (size_t)(2 - all); all++) {
        TL_MAP_EACH (e, &level->lanes) {
            struct tl_match_lane *lane = e->value;
            if (lane != level->plain && tl_list_empty(&lane->tasks) &&
                (all || lane->pass <= level->pass)) {
                tl_map_del(&level->lanes, tl_map_key(e));
                tl_mem_free(lane);
                level->lanes_empty--;
            }
        }
    }
}

static struct tl_match_lane *find_lane(struct tl_match_level *level, struct tl_str key)
{
    struct tl_match_lane *lane = key.n ? tl_map_get(&level->lanes, key) : level->plain;
    if (!lane) {
        if (level->lanes_empty > LANES_EMPTY_MAX) {
            sweep(level);
        }
        lane = new_lane(level, key);
    }
    return lane;
}

static struct tl_match_task *task_at(struct tl_list *link)
{
    return TL_CONTAINER(link, struct tl_match_task, link);
}

static struct tl_match_task *first_of(const struct tl_match_lane *lane)
{
    return task_at(lane->tasks.next);
}

/* Puts a lane where its first task belongs, and a resting one among those that are looked at. */
static void set_turn(struct tl_match_lane *lane)
{
    struct tl_match_level *level = lane->level;
    if (tl_heap_has(&lane->turn)) {
        tl_heap_remove(lane->rests ? &level->resting : &level->ready, &lane->turn);
    }
    lane->rests = false;
    if (!tl_list_empty(&lane->tasks)) {
        tl_heap_insert(&level->ready, &lane->turn, first_of(lane)->place.pass);
    }
}

static bool goes_first(const struct tl_match_place *a, const struct tl_match_place *b)
{
    return a->pass < b->pass || (a->pass == b->pass && tl_match_older(a, b));
}

static void insert_by_pass(struct tl_list *list, struct tl_match_task *t)
{
    struct tl_list *at = list;
    if (!tl_list_empty(list) && task_at(list->prev)->place.pass >= t->place.pass) {
        at = list->next;
        while (at != list && goes_first(&task_at(at)->place, &t->place)) {
            at = at->next;
        }
    }
    tl_list_push(at, &t->link);
}

static void give_pass(struct tl_match_lane *lane, struct tl_match_task *t, double weight)
{
    double stride = STRIDE / (weight > WEIGHT_MIN ? weight : WEIGHT_MIN);
    int64_t pass = lane->pass + (stride > 1 ? (int64_t)stride : 1);
    lane->pass = t->place.pass = pass > lane->level->pass ? pass : lane->level->pass;
}

void tl_backlog_push(struct tl_backlog *b, struct tl_match_task *t,
                     const struct tl_match_terms *terms, const struct tl_match_limit *limit)
{
    t->weight = terms ? terms->weight : 0;
    struct tl_str key = terms ? terms->fairness_key : (struct tl_str){0};
    struct tl_match_level *level = tl_backlog_level(b, terms);
    struct tl_match_lane *lane = find_lane(level, key);
    if (!t->place.pass) {
        give_pass(lane, t, tl_match_weight(limit, terms));
    }
    level->lanes_empty -= tl_list_empty(&lane->tasks);
    insert_by_pass(&lane->tasks, t);
    tl_heap_insert(&level->by_age, &t->by_age, t->place.since_ns);
    t->lane = lane;
    level->count++;
    b->count++;
    if (lane->tasks.next == &t->link) {
        set_turn(lane);
    }
}

void tl_backlog_remove(struct tl_backlog *b, struct tl_match_task *t, bool taken)
{
    struct tl_match_lane *lane = t->lane;
    struct tl_match_level *level = lane->level;
    bool first = lane->tasks.next == &t->link;
    if (taken && t->place.pass > level->pass) {
        level->pass = t->place.pass;
    }
    tl_list_remove(&t->link);
    tl_heap_remove(&level->by_age, &t->by_age);
    t->lane = NULL;
    level->count--;
    b->count--;
    level->lanes_empty += tl_list_empty(&lane->tasks);
    if (first) {
        set_turn(lane);
    }
}

struct tl_match_level *tl_backlog_level_of(const struct tl_match_task *t)
{
    return t->lane->level;
}

struct tl_str tl_backlog_key(const struct tl_match_task *t)
{
    return (struct tl_str){t->lane->key, t->lane->key_n};
}

static int compare_age(const void *a, const void *b)
{
    struct tl_match_task *const *x = a, *const *y = b;
    return tl_match_older(&(*x)->place, &(*y)->place) ? -1 : *x != *y;
}

/* Gives the tasks of a level passes as if they had come in order of age. */
static void arrange(struct tl_match_level *level, const struct tl_match_limit *limit)
{
    struct tl_match_task **tasks = TL_NEW_ARRAY(struct tl_match_task *, level->count + 1);
    size_t n = level->by_age.count;
    for (size_t i = 0; i < n; i++) {
        tasks[i] = TL_CONTAINER(level->by_age.nodes[i], struct tl_match_task, by_age);
    }
    qsort(tasks, n, sizeof tasks[0], compare_age);
    TL_MAP_EACH (e, &level->lanes) {
        struct tl_match_lane *lane = e->value;
        lane->pass = 0;
        tl_list_init(&lane->tasks);
    }
    level->pass = 0;
    for (size_t i = 0; i < n; i++) {
        struct tl_match_task *t = tasks[i];
        struct tl_match_terms terms = {.fairness_key = tl_backlog_key(t), .weight = t->weight};
        give_pass(t->lane, t, tl_match_weight(limit, &terms));
        tl_list_init(&t->link);
        tl_list_push(&t->lane->tasks, &t->link);
    }
    TL_MAP_EACH (e, &level->lanes) {
        set_turn(e->value);
    }
    tl_mem_free(tasks);
}

void tl_backlog_arrange(struct tl_backlog *b, const struct tl_match_limit *limit)
{
    for (size_t i = 0; i < TL_MATCH_PRIORITIES; i++) {
        if (b->levels[i] && b->levels[i]->count) {
            arrange(b->levels[i], limit);
        }
    }
}

/* --- who goes next -------------------------------------------------------------------------------- */

static struct tl_match_lane *lane_at(struct tl_heap_node *n)
{
    return TL_CONTAINER(n, struct tl_match_lane, turn);
}

/* Wakes the lanes whose time has come, lays down those in front whose time has not. */
static void settle(struct tl_match_level *level, const struct tl_match_limit *limit, int64_t now_ns)
{
    struct tl_heap_node *n;
    while ((n = tl_heap_peek(&level->resting)) && n->deadline_ns <= now_ns) {
        set_turn(lane_at(n));
    }
    while ((n = tl_heap_peek(&level->ready))) {
        struct tl_match_lane *lane = lane_at(n);
        int64_t ready_ns =
            tl_match_limit_key_ready_ns(limit, (struct tl_str){lane->key, lane->key_n});
        if (ready_ns <= now_ns) {
            break;
        }
        tl_heap_remove(&level->ready, n);
        tl_heap_insert(&level->resting, n, ready_ns);
        lane->rests = true;
    }
}

struct tl_match_task *tl_backlog_next(struct tl_backlog *b, const struct tl_match_limit *limit,
                                      int64_t now_ns)
{
    for (size_t i = 0; b->count && i < TL_MATCH_PRIORITIES; i++) {
        struct tl_match_level *level = b->levels[i];
        if (!level || !level->count) {
            continue;
        }
        if (tl_match_limit_has_keys(limit)) {
            settle(level, limit, now_ns);
        }
        struct tl_heap_node *n = tl_heap_peek(&level->ready);
        if (n) {
            return first_of(lane_at(n));
        }
    }
    return NULL;
}

int64_t tl_backlog_ready_ns(struct tl_backlog *b, const struct tl_match_limit *limit,
                            int64_t now_ns)
{
    int64_t ready_ns = INT64_MAX;
    if (tl_backlog_next(b, limit, now_ns)) {
        return now_ns;
    }
    for (size_t i = 0; i < TL_MATCH_PRIORITIES; i++) {
        struct tl_heap_node *n = b->levels[i] ? tl_heap_peek(&b->levels[i]->resting) : NULL;
        if (n && n->deadline_ns < ready_ns) {
            ready_ns = n->deadline_ns;
        }
    }
    return ready_ns;
}

void tl_backlog_wake(struct tl_backlog *b)
{
    for (size_t i = 0; i < TL_MATCH_PRIORITIES; i++) {
        struct tl_heap_node *n;
        while (b->levels[i] && (n = tl_heap_peek(&b->levels[i]->resting))) {
            set_turn(lane_at(n));
        }
    }
}

int64_t tl_backlog_level_oldest_ns(const struct tl_match_level *level)
{
    const struct tl_heap_node *n = level ? tl_heap_peek(&level->by_age) : NULL;
    return n ? n->deadline_ns : 0;
}

int64_t tl_backlog_oldest_ns(const struct tl_backlog *b)
{
    int64_t oldest_ns = 0;
    for (size_t i = 0; i < TL_MATCH_PRIORITIES; i++) {
        int64_t ns = tl_backlog_level_oldest_ns(b->levels[i]);
        oldest_ns = ns && (!oldest_ns || ns < oldest_ns) ? ns : oldest_ns;
    }
    return oldest_ns;
}
