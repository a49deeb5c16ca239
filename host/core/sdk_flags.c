/* Logic flags and SDK metadata: what histories say about the code that made them, and what our
 * completions record.
 * Ownership: values in the run; results in the given arena. Thread: the run's. */
#include "core/run_int.h"

static const uint32_t numbers[] = {
#define X(number, name, why) (number),
#include "core/flags.def"
#undef X
};
_Static_assert(TL_FLAG_COUNT <= 32, "core_flags has a bit per row");

/* A number this engine does not know leaves no bit: its behaviour cannot be had. */
static uint32_t core_flag_bit(uint32_t number)
{
    for (unsigned row = 0; row < TL_FLAG_COUNT; row++) {
        if (numbers[row] == number) {
            return 1u << row;
        }
    }
    return 0;
}

static bool is_core_sdk(struct tl_str name)
{
    static const char *const names[] = {"temporal-lua",    "temporal-python", "temporal-typescript",
                                        "temporal-dotnet", "temporal-ruby",   "temporal-rust",
                                        "temporal-core"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (tl_str_eqc(name, names[i])) {
            return true;
        }
    }
    return false;
}

void tl_core_read_metadata(struct tl_run *run,
                           const TpHistory__WorkflowTaskCompletedEventAttributes *attrs)
{
    const TpSdk__WorkflowTaskCompletedMetadata *m = attrs ? attrs->sdk_metadata : NULL;
    if (!m || !run->sdk_metadata) {
        return;
    }
    struct tl_str name = tl_str(m->sdk_name), version = tl_str(m->sdk_version);
    if (name.n) {
        run->sdk_name_recorded = tl_str_eq(name, run->sdk_name);
        run->sdk_version_recorded = false;
        run->other_language = !run->sdk_name_recorded;
        run->sdk_family = is_core_sdk(name) ? TL_SDK_CORE : TL_SDK_OTHER;
    }
    if (version.n) {
        run->sdk_version_recorded = tl_str_eq(version, run->sdk_version);
    }
    for (size_t i = 0; i < m->n_core_used_flags; i++) {
        run->core_flags |= core_flag_bit(m->core_used_flags[i]);
        if (run->sdk_family == TL_SDK_UNKNOWN) {
            run->sdk_family = TL_SDK_CORE; /* nobody else writes these */
        }
    }
    /* Another language's numbers mean nothing to ours. */
    for (size_t i = 0; run->sdk_name_recorded && i < m->n_lang_used_flags; i++) {
        if (m->lang_used_flags[i] < 64) {
            run->lang_flags |= UINT64_C(1) << m->lang_used_flags[i];
        }
    }
}

bool tl_core_use_flag(struct tl_run *run, enum tl_core_flag flag, bool record)
{
    if (!run->sdk_metadata) {
        return false; /* what cannot be recorded must not be relied on */
    }
    if (record) {
        run->core_flags_used |= 1u << flag;
        return true;
    }
    return (run->core_flags >> flag & 1u) != 0;
}

/* The numbers of the set bits; map NULL: a bit's number is its place. */
static uint32_t *flag_list(struct tl_arena *arena, uint64_t bits, const uint32_t *map,
                           size_t *count)
{
    *count = (size_t)__builtin_popcountll(bits);
    uint32_t *list = *count ? TL_ARENA_ARRAY(arena, uint32_t, *count) : NULL;
    size_t n = 0;
    for (uint32_t i = 0; list && i < 64; i++) {
        if (bits >> i & 1u) {
            list[n++] = map ? map[i] : i;
        }
    }
    return list;
}

TpSdk__WorkflowTaskCompletedMetadata *tl_core_write_metadata(struct tl_run *run,
                                                             struct tl_arena *arena)
{
    if (!run->sdk_metadata) {
        return NULL;
    }
    uint32_t all = (1u << TL_FLAG_COUNT) - 1;
    TpSdk__WorkflowTaskCompletedMetadata *m = TL_PB_NEW(arena, TpSdk__WorkflowTaskCompletedMetadata,
                                                        tp_sdk__workflow_task_completed_metadata);
    if (!m) {
        return NULL;
    }
    run->core_flags_used |= all;
    m->core_used_flags =
        flag_list(arena, run->core_flags_used & ~run->core_flags, numbers, &m->n_core_used_flags);
    m->lang_used_flags =
        flag_list(arena, run->lang_flags_used & ~run->lang_flags, NULL, &m->n_lang_used_flags);
    if ((m->n_core_used_flags && !m->core_used_flags) ||
        (m->n_lang_used_flags && !m->lang_used_flags)) {
        return NULL;
    }
    run->core_flags |= run->core_flags_used;
    run->lang_flags |= run->lang_flags_used;
    run->core_flags_used = 0;
    run->lang_flags_used = 0;
    if (!run->sdk_name_recorded) {
        m->sdk_name = tl_pb_cstr(arena, run->sdk_name);
    }
    if (!run->sdk_version_recorded) {
        m->sdk_version = tl_pb_cstr(arena, run->sdk_version);
    }
    if (!m->sdk_name || !m->sdk_version) {
        return NULL;
    }
    run->sdk_name_recorded = run->sdk_version_recorded = true;
    run->other_language = false;
    run->sdk_family = TL_SDK_CORE;
    return m;
}
