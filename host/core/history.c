/* What history events are, and the grouping of a history into logical workflow tasks.
 * Ownership: borrows the events. Thread: any. */
#include "core/history.h"

#include <tl_enums.h>

#include "core/run_int.h"

static const struct tl_event_info infos[] = {
#define X(type, class_name, machine_name, name, link)                                              \
    [EVENT_TYPE_##type] = {.text = #name,                                                          \
                           .event_class = TL_EVENT_##class_name,                                   \
                           .machine = TL_MACHINE_##machine_name,                                   \
                           .link_offset = offsetof(TpHistory__##name##EventAttributes, link),      \
                           .attributes_case =                                                      \
                               TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_##type##_EVENT_ATTRIBUTES},
#include "core/events.def"
#undef X
};

static const struct tl_event_info unknown = {"UnknownEvent", TL_EVENT_UNKNOWN, 0, 0, 0};

const struct tl_event_info *tl_event_info(int event_type)
{
    if (event_type <= 0 || (size_t)event_type >= sizeof(infos) / sizeof(infos[0]) ||
        !infos[event_type].text) {
        return &unknown;
    }
    return &infos[event_type];
}

bool tl_event_valid(const TpHistory__HistoryEvent *event)
{
    const struct tl_event_info *info = tl_event_info((int)event->event_type);
    return info->event_class != TL_EVENT_UNKNOWN &&
           (int)event->attributes_case == info->attributes_case &&
           event->workflow_execution_started_event_attributes != NULL;
}

int64_t tl_event_link(const TpHistory__HistoryEvent *event)
{
    const struct tl_event_info *info = tl_event_info((int)event->event_type);
    if (!info->link_offset || !tl_event_valid(event)) {
        return 0;
    }
    /* All members of the union are pointers to attributes messages. */
    const char *attributes = (const char *)event->workflow_execution_started_event_attributes;
    int64_t id;
    memcpy(&id, attributes + info->link_offset, sizeof(id));
    return id;
}

bool tl_event_closes(int event_type)
{
    const struct tl_event_info *info = tl_event_info(event_type);
    return info->event_class == TL_EVENT_END ||
           (info->event_class == TL_EVENT_COMMAND && info->machine == TL_MACHINE_CLOSE);
}

void tl_history_init(struct tl_history *h, TpHistory__HistoryEvent *const *events, size_t count,
                     bool complete)
{
    *h = (struct tl_history){.events = events, .count = count, .complete = complete};
}

static int type_at(const struct tl_history *h, size_t index)
{
    return index < h->count ? (int)h->events[index]->event_type : EVENT_TYPE_UNSPECIFIED;
}

/* A started task that ended in none of these ways ran the code to a result. */
static bool task_came_to_nothing(int next_type)
{
    return next_type == EVENT_TYPE_WORKFLOW_TASK_FAILED ||
           next_type == EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT ||
           next_type == EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT ||
           next_type == EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED ||
           next_type == EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED;
}

/* An update accepted right after the task at `started` may have been delivered by an earlier task
 * of the same group (heartbeats): the group must end where the update was sequenced. */
static size_t update_boundary(const struct tl_history *h, size_t started, int64_t from_id)
{
    if (started + 2 >= h->count) {
        return started;
    }
    const TpHistory__HistoryEvent *e = h->events[started + 2];
    if (e->event_type != (TpEnums__EventType)EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED ||
        !tl_event_valid(e)) {
        return started;
    }
    int64_t sequencing_id = e->workflow_execution_update_accepted_event_attributes
                                ->accepted_request_sequencing_event_id;
    for (size_t i = started + 1; i-- > h->pos;) {
        if (h->events[i]->event_id > from_id && h->events[i]->event_id < sequencing_id &&
            type_at(h, i) == EVENT_TYPE_WORKFLOW_TASK_STARTED &&
            !task_came_to_nothing(type_at(h, i + 1))) {
            return i;
        }
    }
    return started;
}

/* One past the last event of the group that starts at h->pos; 0 when no boundary is in sight. */
static size_t find_boundary(const struct tl_history *h, int64_t from_id)
{
    bool saw_command = false, saw_start = false;
    for (size_t i = h->pos; i < h->count; i++) {
        int type = type_at(h, i);
        if (h->events[i]->event_id <= from_id) {
            continue;
        }
        if (tl_event_closes(type)) {
            return i + 1;
        }
        saw_command |= tl_event_info(type)->event_class == TL_EVENT_COMMAND;
        saw_start |= type == EVENT_TYPE_WORKFLOW_EXECUTION_STARTED;
        if (type != EVENT_TYPE_WORKFLOW_TASK_STARTED) {
            continue;
        }
        if (i + 1 < h->count && task_came_to_nothing(type_at(h, i + 1))) {
            continue;
        }
        if (type_at(h, i + 1) == EVENT_TYPE_WORKFLOW_TASK_COMPLETED &&
            (i + 2 < h->count || h->complete)) {
            if (!saw_command && type_at(h, i + 2) == EVENT_TYPE_WORKFLOW_TASK_SCHEDULED) {
                continue; /* completed without commands and at once scheduled again: a heartbeat */
            }
            return update_boundary(h, i, from_id) + 1;
        }
        if (saw_command || saw_start) {
            return i + 1;
        }
        /* Nothing happened yet and what follows is not known: more events decide. */
    }
    return 0;
}

bool tl_history_peek(struct tl_history *h, int64_t started_event_id, struct tl_history_group *out)
{
    if (h->pos >= h->count) {
        return false;
    }
    if (!h->peek_end) {
        h->peek_end = find_boundary(h, started_event_id);
        if (!h->peek_end && h->complete) {
            h->peek_end = h->count;
        }
    }
    if (!h->peek_end) {
        return false;
    }
    *out = (struct tl_history_group){h->pos, h->peek_end, h->complete && h->peek_end == h->count};
    return true;
}

bool tl_history_take(struct tl_history *h, int64_t started_event_id, struct tl_history_group *out)
{
    if (h->pos == 0) { /* only a new history can repeat what is known */
        while (h->pos < h->count && h->events[h->pos]->event_id <= started_event_id) {
            h->pos++;
        }
    }
    if (!tl_history_peek(h, started_event_id, out)) {
        return false;
    }
    h->pos = h->peek_end;
    h->peek_end = 0;
    return true;
}

const TpHistory__WorkflowTaskCompletedEventAttributes *
tl_history_next_completed(const struct tl_history *h, size_t index)
{
    for (; index < h->count; index++) {
        if (type_at(h, index) == EVENT_TYPE_WORKFLOW_TASK_COMPLETED &&
            tl_event_valid(h->events[index])) {
            return h->events[index]->workflow_task_completed_event_attributes;
        }
    }
    return NULL;
}
