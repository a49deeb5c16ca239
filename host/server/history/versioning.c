/* Which worker deployment version a run belongs to: what its last completed task, the run before it or
 * an override says, and the transition to another version. A version is the text "deployment:build"
 * (no name of a deployment has a colon); the empty text is "no version".
 *
 * A transition lives in memory only: after a crash the pending task is routed again, and its start
 * begins the transition anew.
 * Thread: the run's owner. */
#include <string.h>

#include "proto/jsonv.h"
#include "server/history/rs.h"

struct tl_str tl_version_text(struct tl_arena *arena, const char *deployment, const char *build_id)
{
    if (!tl_has_text(build_id) || !tl_has_text(deployment)) {
        return (struct tl_str){NULL, 0};
    }
    char *text = tl_arena_printf(arena, "%s:%s", deployment, build_id);
    return text ? tl_str(text) : (struct tl_str){NULL, 0};
}

bool tl_version_split(struct tl_str version, struct tl_str *deployment, struct tl_str *build_id)
{
    const char *colon = version.n ? memchr(version.p, ':', version.n) : NULL;
    if (!colon) {
        *deployment = *build_id = (struct tl_str){NULL, 0};
        return false;
    }
    *deployment = tl_str_n(version.p, (size_t)(colon - version.p));
    *build_id = tl_str_n(colon + 1, version.n - deployment->n - 1);
    return true;
}

struct tl_str tl_version_of_worker(struct tl_arena *arena,
                                   const TpDeployment__WorkerDeploymentOptions *o)
{
    bool versioned = o && (int)o->worker_versioning_mode == WORKER_VERSIONING_MODE_VERSIONED;
    return versioned ? tl_version_text(arena, o->deployment_name, o->build_id)
                     : (struct tl_str){NULL, 0};
}

TpDeployment__WorkerDeploymentVersion *tl_version_message(struct tl_str version,
                                                          struct tl_arena *arena)
{
    struct tl_str deployment, build_id;
    if (!tl_version_split(version, &deployment, &build_id)) {
        return NULL;
    }
    TpDeployment__WorkerDeploymentVersion *v = TL_PB_NEW(
        arena, TpDeployment__WorkerDeploymentVersion, tp_deployment__worker_deployment_version);
    if (v) {
        v->deployment_name = tl_pb_cstr(arena, deployment);
        v->build_id = tl_pb_cstr(arena, build_id);
    }
    return v;
}

/* --- overrides --------------------------------------------------------------------------------- */

/* Older clients say "deployment.build" in one field. */
static struct tl_str old_pinned(const char *text, struct tl_arena *arena)
{
    const char *dot = tl_has_text(text) ? strchr(text, '.') : NULL;
    if (!dot || dot == text || !dot[1]) {
        return (struct tl_str){NULL, 0};
    }
    char *name = tl_arena_cstr(arena, tl_str_n(text, (size_t)(dot - text)));
    return name ? tl_version_text(arena, name, dot + 1) : (struct tl_str){NULL, 0};
}

bool tl_override_is_once(const TpWorkflow__VersioningOverride *o)
{
    return o && o->override_case == TP_WORKFLOW__VERSIONING_OVERRIDE__OVERRIDE_ONE_TIME;
}

tl_rc tl_override_read(const TpWorkflow__VersioningOverride *o, struct tl_arena *arena,
                       int *behavior, struct tl_str *version, struct tl_error *err)
{
    *behavior = VERSIONING_BEHAVIOR_UNSPECIFIED;
    *version = (struct tl_str){NULL, 0};
    if (!o) {
        return TL_OK;
    }
    if (o->override_case == TP_WORKFLOW__VERSIONING_OVERRIDE__OVERRIDE_AUTO_UPGRADE ||
        (o->override_case == TP_WORKFLOW__VERSIONING_OVERRIDE__OVERRIDE__NOT_SET &&
         (int)o->behavior == VERSIONING_BEHAVIOR_AUTO_UPGRADE)) {
        *behavior = VERSIONING_BEHAVIOR_AUTO_UPGRADE;
        return TL_OK;
    }
    const TpDeployment__WorkerDeploymentVersion *v =
        tl_override_is_once(o) && o->one_time ? o->one_time->target_deployment_version
        : o->override_case == TP_WORKFLOW__VERSIONING_OVERRIDE__OVERRIDE_PINNED && o->pinned
            ? o->pinned->version
            : NULL;
    *version = v                        ? tl_version_text(arena, v->deployment_name, v->build_id)
               : tl_override_is_once(o) ? (struct tl_str){NULL, 0}
                                        : old_pinned(o->pinned_version, arena);
    if (version->n == 0) {
        return tl_error_set(
            err, TL_EINVAL,
            "a versioning override is either auto_upgrade, or pinned or one_time with a version "
            "that has a deployment name and a build ID");
    }
    *behavior = VERSIONING_BEHAVIOR_PINNED;
    return TL_OK;
}

tl_rc tl_override_check(const TpWorkflow__VersioningOverride *o, struct tl_error *err)
{
    struct tl_arena a;
    struct tl_str version;
    int behavior;
    tl_arena_init(&a, (size_t)1 << 20);
    tl_rc rc = tl_override_read(o, &a, &behavior, &version, err);
    tl_arena_deinit(&a);
    return rc;
}

bool tl_rs_set_override(struct tl_rs *rs, const TpWorkflow__VersioningOverride *o,
                        struct tl_arena *scratch)
{
    struct tl_str version;
    int behavior;
    if (!tl_set_blob_message(&rs->versioning_override, o)) {
        return false;
    }
    /* What cannot be read was refused before it became an event. */
    if (tl_override_read(o, scratch, &behavior, &version, NULL) != TL_OK) {
        behavior = VERSIONING_BEHAVIOR_UNSPECIFIED;
    }
    rs->override_behavior = behavior;
    rs->override_once = tl_override_is_once(o);
    tl_set_str(&rs->override_version, version.p);
    return true;
}

/* --- where a run stands ------------------------------------------------------------------------ */

void tl_rs_versioning(const struct tl_rs *rs, struct tl_rs_versioning *out)
{
    *out = (struct tl_rs_versioning){.behavior = rs->versioning_behavior,
                                     .version = tl_str(tl_or_empty(rs->ran_on)),
                                     .ran_on = tl_str(tl_or_empty(rs->ran_on)),
                                     .moving = rs->moving,
                                     .target = tl_str(tl_or_empty(rs->moves_to)),
                                     .left_by = tl_str(tl_or_empty(rs->left_by)),
                                     .set_build = tl_str(tl_or_empty(rs->set_build))};
    if (rs->override_behavior != VERSIONING_BEHAVIOR_UNSPECIFIED) {
        out->behavior = rs->override_behavior;
    }
    if (rs->override_behavior == VERSIONING_BEHAVIOR_PINNED) {
        out->version = tl_str(tl_or_empty(rs->override_version));
    }
}

static TpCommon__SearchAttributes__IndexedFieldsEntry *
keyword(struct tl_arena *arena, const char *name, struct tl_str value)
{
    static const char *const meta[2][2] = {{"encoding", "json/plain"}, {"type", "Keyword"}};
    TpCommon__SearchAttributes__IndexedFieldsEntry *f =
        TL_PB_NEW(arena, TpCommon__SearchAttributes__IndexedFieldsEntry,
                  tp_common__search_attributes__indexed_fields_entry);
    TpCommon__Payload *p = TL_PB_NEW(arena, TpCommon__Payload, tp_common__payload);
    struct tl_pb_list list = {0};
    if (!f || !p) {
        return NULL;
    }
    for (int i = 0; i < 2; i++) {
        TpCommon__Payload__MetadataEntry *m =
            TL_PB_NEW(arena, TpCommon__Payload__MetadataEntry, tp_common__payload__metadata_entry);
        if (!m || !tl_pb_push(arena, &list, m)) {
            return NULL;
        }
        m->key = (char *)(uintptr_t)meta[i][0];
        m->value = tl_pb_bytes_view(tl_str(meta[i][1]));
    }
    struct tl_buf json;
    struct tl_jw w;
    tl_buf_init(&json, 8192);
    tl_jw_init(&w, &json, 0, 4);
    tl_jw_string(&w, value);
    bool ok = tl_jw_finish(&w, NULL) == TL_OK;
    p->data = tl_pb_bytes(arena, tl_buf_str(&json), &ok);
    tl_buf_deinit(&json);
    p->n_metadata = list.n;
    p->metadata = list.items;
    f->key = (char *)(uintptr_t)name;
    f->value = value.n ? p : NULL;
    return ok ? f : NULL;
}

/* The attributes by which lists find the runs of a version. */
static bool set_attributes(struct tl_rs *rs, struct tl_arena *scratch)
{
    static const char *const behaviors[] = {"", "Pinned", "AutoUpgrade"};
    struct tl_rs_versioning v;
    struct tl_str deployment, build_id;
    tl_rs_versioning(rs, &v);
    tl_version_split(v.version, &deployment, &build_id);
    int behavior = v.version.n && v.behavior >= 0 && v.behavior <= 2 ? v.behavior : 0;
    const struct {
        const char *name;
        struct tl_str value;
    } rows[] = {{"TemporalWorkerDeployment", deployment},
                {"TemporalWorkerDeploymentVersion", v.version},
                {"TemporalWorkflowVersioningBehavior", tl_str(behaviors[behavior])}};
    TpCommon__SearchAttributes set = TP_COMMON__SEARCH_ATTRIBUTES__INIT;
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < 3; i++) {
        TpCommon__SearchAttributes__IndexedFieldsEntry *f =
            keyword(scratch, rows[i].name, rows[i].value);
        if (!f || !tl_pb_push(scratch, &list, f)) {
            return false;
        }
    }
    set.n_indexed_fields = list.n;
    set.indexed_fields = list.items;
    TpCommon__SearchAttributes *now =
        tl_blob_decode(&rs->search_attributes, &tp_common__search_attributes__descriptor, scratch);
    TpCommon__SearchAttributes *merged = tl_search_attributes_merge(now, &set, scratch);
    rs->visibility_changes++;
    return merged && tl_set_blob_message(&rs->search_attributes, merged);
}

/* Adds "versioned:<build>" to the builds that the run had tasks by. */
static bool add_build(struct tl_rs *rs, const char *build_id, struct tl_arena *scratch)
{
    TpCommon__SearchAttributes *now =
        tl_blob_decode(&rs->search_attributes, &tp_common__search_attributes__descriptor, scratch);
    TpCommon__SearchAttributes set = TP_COMMON__SEARCH_ATTRIBUTES__INIT;
    struct tl_str text = tl_str(tl_arena_printf(scratch, "versioned:%s", build_id)), old = {0};
    TpCommon__SearchAttributes__IndexedFieldsEntry *f = keyword(scratch, "BuildIds", text);
    for (size_t i = 0; now && i < now->n_indexed_fields; i++) {
        if (strcmp(now->indexed_fields[i]->key, "BuildIds") == 0 && now->indexed_fields[i]->value) {
            old = tl_pb_str(now->indexed_fields[i]->value->data);
        }
    }
    if (!f) {
        return false;
    }
    struct tl_str item = tl_pb_str(f->value->data);
    bool listed = old.n > 2 && old.p[0] == '[' && old.p[old.n - 1] == ']';
    if (listed && memmem(old.p, old.n, item.p, item.n)) {
        return true;
    }
    char *json =
        listed ? tl_arena_printf(scratch, "%.*s,%.*s]", (int)old.n - 1, old.p, TL_STR_FMT(item))
               : tl_arena_printf(scratch, "[%.*s]", TL_STR_FMT(item));
    if (!json) {
        return false;
    }
    f->value->data = tl_pb_bytes_view(tl_str(json));
    f->value->metadata[1]->value = tl_pb_bytes_view(TL_STR_LIT("KeywordList"));
    set.n_indexed_fields = 1;
    set.indexed_fields = &f;
    TpCommon__SearchAttributes *merged = tl_search_attributes_merge(now, &set, scratch);
    rs->visibility_changes++;
    return merged && tl_set_blob_message(&rs->search_attributes, merged);
}

bool tl_rs_ran_on_build(struct tl_rs *rs, const TpCommon__WorkerVersionStamp *stamp, bool had_task,
                        struct tl_arena *scratch)
{
    bool by_set = stamp && stamp->use_versioning && tl_has_text(stamp->build_id);
    char *text = by_set ? tl_arena_printf(scratch, ":%s", stamp->build_id) : NULL;
    tl_set_str(&rs->set_build, text);
    return !by_set || (text && (!had_task || add_build(rs, stamp->build_id, scratch)));
}

/* Where a run stood before a change. */
struct standing {
    int behavior;
    bool versioned;
    const char *version; /* in the arena; NULL without memory */
};

static struct standing standing_of(const struct tl_rs *rs, struct tl_arena *scratch)
{
    struct tl_rs_versioning v;
    tl_rs_versioning(rs, &v);
    return (struct standing){v.behavior, v.version.n > 0, tl_arena_cstr(scratch, v.version)};
}

static bool attributes_follow(struct tl_rs *rs, const struct standing *before,
                              struct tl_arena *scratch)
{
    struct tl_rs_versioning after;
    tl_rs_versioning(rs, &after);
    bool same = before->version && before->behavior == after.behavior &&
                tl_str_eqc(after.version, before->version);
    return same || (!before->versioned && after.version.n == 0) || set_attributes(rs, scratch);
}

bool tl_rs_ran_on(struct tl_rs *rs, int behavior, struct tl_str version, struct tl_arena *scratch)
{
    struct standing before = standing_of(rs, scratch);
    rs->versioning_behavior = behavior;
    bool moved = behavior != VERSIONING_BEHAVIOR_UNSPECIFIED;
    tl_set_str(&rs->ran_on, moved ? version.p : NULL);
    tl_set_str(&rs->left_by, moved ? NULL : version.p);
    if (rs->override_once && tl_str_eq(version, tl_str(tl_or_empty(rs->override_version))) &&
        !tl_rs_set_override(rs, NULL, scratch)) { /* it has moved */
        return false;
    }
    return attributes_follow(rs, &before, scratch);
}

bool tl_rs_change_override(struct tl_rs *rs, const TpWorkflow__VersioningOverride *o,
                           struct tl_arena *scratch)
{
    struct standing before = standing_of(rs, scratch);
    return tl_rs_set_override(rs, o, scratch) && attributes_follow(rs, &before, scratch);
}

/* --- transitions ------------------------------------------------------------------------------- */

/* Activities that were held back go to matching again. */
static void release(struct tl_tx *tx)
{
    struct tl_rs *rs = tx->rs;
    if (!rs->acts) {
        return;
    }
    TL_MAP_EACH (e, rs->acts) {
        struct tl_act *act = e->value;
        if (!act->started && act->offered) {
            act->offered = false;
            tl_tx_offer_act(tx, act);
        }
    }
}

void tl_versioning_started(struct tl_tx *tx, struct tl_str version)
{
    struct tl_rs *rs = tx->rs;
    struct tl_rs_versioning v;
    tl_rs_versioning(rs, &v);
    if (tl_str_eq(v.version, version)) {
        if (rs->moving) {
            rs->moving = false;
            release(tx);
        }
    } else if (v.behavior != VERSIONING_BEHAVIOR_PINNED) {
        rs->moving = true;
        char *text = version.n ? tl_arena_cstr(tx->arena, version) : NULL;
        tl_set_str(&rs->moves_to, text);
    }
}

bool tl_versioning_completed(struct tl_tx *tx, struct tl_str version)
{
    struct tl_rs *rs = tx->rs;
    if (rs->moving && tl_str_eq(tl_str(tl_or_empty(rs->moves_to)), version)) {
        rs->moving = false;
        release(tx);
    }
    return rs->moving;
}

tl_rc tl_tx_move(struct tl_tx *tx, struct tl_str version, struct tl_error *err)
{
    struct tl_rs *rs = tx->rs;
    tl_rc rc = tl_tx_need_open(tx, err);
    if (rc != TL_OK) {
        return rc;
    }
    rs->moving = true;
    tl_set_str(&rs->moves_to, version.n ? tl_arena_cstr(tx->arena, version) : NULL);
    tx->touched = true;
    tl_wft_schedule(tx, 0);
    return tl_tx_result(tx, err);
}

TpWorkflow__VersioningOverride *tl_rs_override(const struct tl_rs *rs, struct tl_arena *arena)
{
    return tl_blob_decode(&rs->versioning_override, &tp_workflow__versioning_override__descriptor,
                          arena);
}

/* --- what a run hands on ------------------------------------------------------------------------ */

void tl_versioning_inherit(struct tl_tx *tx, struct tl_start *start,
                           TpWs__StartWorkflowExecutionRequest *req, int initial_behavior)
{
    struct tl_rs_versioning v;
    tl_rs_versioning(tx->rs, &v);
    if (initial_behavior != CONTINUE_AS_NEW_VERSIONING_BEHAVIOR_UNSPECIFIED ||
        v.behavior != VERSIONING_BEHAVIOR_PINNED) {
        return;
    }
    /* One for once stays with the run that has not moved yet; what follows starts where it would go. */
    req->versioning_override = tx->rs->override_once ? NULL : tl_rs_override(tx->rs, tx->arena);
    start->inherited_pinned = tl_version_message(v.version, tx->arena);
}
