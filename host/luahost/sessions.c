/* Sessions of this process's workers. See sessions.h. */
#include "luahost/sessions.h"

#include <pthread.h>

#include "base/list.h"
#include "base/mem.h"

struct place {
    struct tl_list link;
    size_t max, taken;
    char *task_queue;
};

struct tl_session {
    struct tl_list link;
    struct tl_lua_task *task; /* borrowed; lives as long as the session */
    bool complete;
    char *id, *task_queue;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static struct tl_list sessions = {&sessions, &sessions};
static struct tl_list places = {&places, &places};

static struct place *find_place(struct tl_str task_queue)
{
    for (struct tl_list *at = places.next; at != &places; at = at->next) {
        struct place *p = TL_CONTAINER(at, struct place, link);
        if (tl_str_eqc(task_queue, p->task_queue)) {
            return p;
        }
    }
    return NULL;
}

void tl_session_room(struct tl_str task_queue, size_t max)
{
    pthread_mutex_lock(&mutex);
    struct place *p = find_place(task_queue);
    if (p && max == 0) {
        tl_list_remove(&p->link);
        tl_mem_free(p->task_queue);
        tl_mem_free(p);
    } else if (p) {
        p->max = max;
    } else if (max) {
        p = TL_NEW(struct place);
        p->max = max;
        p->task_queue = tl_mem_dup(task_queue);
        tl_list_init(&p->link);
        tl_list_push(&places, &p->link);
    }
    pthread_mutex_unlock(&mutex);
}

struct tl_session *tl_session_enter(struct tl_str id, struct tl_str task_queue,
                                    struct tl_lua_task *task)
{
    struct tl_session *s = NULL;
    pthread_mutex_lock(&mutex);
    struct place *p = find_place(task_queue);
    if (p && p->taken < p->max) {
        p->taken++;
        s = TL_NEW(struct tl_session);
        s->task = task;
        s->id = tl_mem_dup(id);
        s->task_queue = tl_mem_dup(task_queue);
        tl_list_init(&s->link);
        tl_list_push(&sessions, &s->link);
    }
    pthread_mutex_unlock(&mutex);
    return s;
}

void tl_session_leave(struct tl_session *s)
{
    if (!s) {
        return;
    }
    pthread_mutex_lock(&mutex);
    struct place *p = find_place(tl_str(s->task_queue));
    if (p) {
        p->taken--;
    }
    tl_list_remove(&s->link);
    pthread_mutex_unlock(&mutex);
    tl_mem_free(s->id);
    tl_mem_free(s->task_queue);
    tl_mem_free(s);
}

bool tl_session_is_complete(struct tl_session *s)
{
    pthread_mutex_lock(&mutex);
    bool complete = s->complete;
    pthread_mutex_unlock(&mutex);
    return complete;
}

bool tl_session_complete(struct tl_str id)
{
    bool found = false;
    pthread_mutex_lock(&mutex);
    for (struct tl_list *at = sessions.next; at != &sessions; at = at->next) {
        struct tl_session *s = TL_CONTAINER(at, struct tl_session, link);
        if (tl_str_eqc(id, s->id)) {
            found = s->complete = true;
            tl_lua_task_wake(s->task);
        }
    }
    pthread_mutex_unlock(&mutex);
    return found;
}
