/* A simulated disk. See disk.h. */
#include "store/disk.h"

#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

#define SECTOR 512

/* A write (or, with data NULL, a change of size) since the last sync. */
struct pending {
    int64_t offset, size_after;
    size_t n;
    char *data; /* owned */
};

struct image {
    char *p; /* owned */
    int64_t size;
    int64_t cap;
};

struct tl_disk_file {
    struct image live, synced;
    struct pending *pending;
    size_t pending_count, pending_cap;
    int refs; /* handles and names */
};

struct tl_disk {
    struct tl_map live;    /* name -> file */
    struct tl_map durable; /* name -> file: what a power cut would find for sure */
    int64_t capacity, used;
    struct tl_disk_stats stats;
};

/* --- bytes ------------------------------------------------------------------------------------ */

static void image_resize(struct image *m, int64_t size)
{
    if (size > m->cap) {
        int64_t cap = m->cap ? m->cap : 4096;
        while (cap < size) {
            cap *= 2;
        }
        m->p = tl_mem_realloc(m->p, (size_t)cap);
        m->cap = cap;
    }
    if (size > m->size) {
        memset(m->p + m->size, 0, (size_t)(size - m->size));
    }
    m->size = size;
}

static void image_write(struct image *m, int64_t offset, const void *p, size_t n)
{
    if (offset + (int64_t)n > m->size) {
        image_resize(m, offset + (int64_t)n);
    }
    if (n) {
        memcpy(m->p + offset, p, n);
    }
}

static void image_copy(struct image *to, const struct image *from)
{
    to->size = 0;
    image_write(to, 0, from->p, (size_t)from->size);
}

static void forget_pending(struct tl_disk_file *f)
{
    for (size_t i = 0; i < f->pending_count; i++) {
        tl_mem_free(f->pending[i].data);
    }
    f->pending_count = 0;
}

static void add_pending(struct tl_disk_file *f, int64_t offset, const void *p, size_t n)
{
    if (f->pending_count == f->pending_cap) {
        f->pending_cap = f->pending_cap ? f->pending_cap * 2 : 16;
        f->pending = tl_mem_realloc(f->pending, f->pending_cap * sizeof *f->pending);
    }
    char *data = p ? tl_mem_alloc(n) : NULL;
    if (data) {
        memcpy(data, p, n);
    }
    f->pending[f->pending_count++] = (struct pending){offset, f->live.size, n, data};
}

static void unref(struct tl_disk *d, struct tl_disk_file *f)
{
    if (--f->refs > 0) {
        return;
    }
    d->used -= f->live.size;
    forget_pending(f);
    tl_mem_free(f->pending);
    tl_mem_free(f->live.p);
    tl_mem_free(f->synced.p);
    tl_mem_free(f);
}

static void set_name(struct tl_disk *d, struct tl_map *names, struct tl_str name,
                     struct tl_disk_file *f)
{
    if (f) {
        f->refs++;
    }
    struct tl_disk_file *old = f ? tl_map_put(names, name, f) : tl_map_del(names, name);
    if (old) {
        unref(d, old);
    }
}

/* --- files ------------------------------------------------------------------------------------ */

struct tl_disk *tl_disk_new(void)
{
    struct tl_disk *d = TL_NEW(struct tl_disk);
    tl_map_init(&d->live);
    tl_map_init(&d->durable);
    d->capacity = -1;
    return d;
}

void tl_disk_free(struct tl_disk *d)
{
    TL_MAP_EACH (e, &d->live) {
        unref(d, e->value);
    }
    TL_MAP_EACH (e, &d->durable) {
        unref(d, e->value);
    }
    tl_map_deinit(&d->live);
    tl_map_deinit(&d->durable);
    tl_mem_free(d);
}

struct tl_disk_file *tl_disk_open(struct tl_disk *d, struct tl_str name, bool create, bool *created)
{
    struct tl_disk_file *f = name.n ? tl_map_get(&d->live, name) : NULL;
    *created = !f;
    if (!f && !create) {
        return NULL;
    }
    if (!f) {
        f = TL_NEW(struct tl_disk_file);
        if (name.n) {
            set_name(d, &d->live, name, f);
        }
    }
    f->refs++;
    return f;
}

void tl_disk_close(struct tl_disk *d, struct tl_disk_file *f)
{
    unref(d, f);
}

bool tl_disk_exists(const struct tl_disk *d, struct tl_str name)
{
    return tl_map_get(&d->live, name) != NULL;
}

bool tl_disk_delete(struct tl_disk *d, struct tl_str name)
{
    bool there = tl_disk_exists(d, name);
    set_name(d, &d->live, name, NULL);
    return there;
}

void tl_disk_sync_names(struct tl_disk *d)
{
    TL_MAP_EACH (e, &d->durable) {
        if (!tl_map_get(&d->live, tl_map_key(e))) {
            set_name(d, &d->durable, tl_map_key(e), NULL);
        }
    }
    TL_MAP_EACH (e, &d->live) {
        set_name(d, &d->durable, tl_map_key(e), e->value);
    }
}

size_t tl_disk_read(const struct tl_disk_file *f, int64_t offset, void *p, size_t n)
{
    size_t have = 0;
    if (offset < f->live.size) {
        int64_t left = f->live.size - offset;
        have = left < (int64_t)n ? (size_t)left : n;
        memcpy(p, f->live.p + offset, have);
    }
    memset((char *)p + have, 0, n - have);
    return have;
}

bool tl_disk_write(struct tl_disk *d, struct tl_disk_file *f, int64_t offset, const void *p,
                   size_t n)
{
    int64_t growth = offset + (int64_t)n - f->live.size;
    growth = growth > 0 ? growth : 0;
    if (d->capacity >= 0 && growth > 0 && d->used + growth > d->capacity) {
        return false;
    }
    d->used += growth;
    d->stats.writes++;
    image_write(&f->live, offset, p, n);
    add_pending(f, offset, p, n);
    return true;
}

void tl_disk_truncate(struct tl_disk *d, struct tl_disk_file *f, int64_t size)
{
    d->used += size - f->live.size;
    image_resize(&f->live, size);
    add_pending(f, size, NULL, 0);
}

void tl_disk_sync(struct tl_disk *d, struct tl_disk_file *f)
{
    d->stats.syncs++;
    for (size_t i = 0; i < f->pending_count; i++) {
        const struct pending *w = &f->pending[i];
        if (w->data) {
            image_write(&f->synced, w->offset, w->data, w->n);
        } else {
            image_resize(&f->synced, w->size_after);
        }
    }
    forget_pending(f);
}

int64_t tl_disk_size(const struct tl_disk_file *f)
{
    return f->live.size;
}

void tl_disk_set_capacity(struct tl_disk *d, int64_t bytes)
{
    d->capacity = bytes;
}

struct tl_disk_stats tl_disk_stats(const struct tl_disk *d)
{
    return d->stats;
}

/* --- power cuts ------------------------------------------------------------------------------- */

enum style { LOSE_ALL, KEEP_ALL, ROLL_DICE };

static enum style roll_style(struct tl_rng *rng)
{
    uint64_t roll = tl_rng_below(rng, 4);
    return roll == 0 ? LOSE_ALL : roll == 1 ? KEEP_ALL : ROLL_DICE;
}

struct sector {
    uint64_t touched; /* pending writes that touch it */
    uint64_t keep;    /* of them, the first so many arrived */
    uint64_t seen;
};

static struct sector *sector_of(struct tl_map *sectors, int64_t number)
{
    struct sector *s = tl_map_get_num(sectors, (uint64_t)number);
    if (!s) {
        s = TL_NEW(struct sector);
        tl_map_put_num(sectors, (uint64_t)number, s);
    }
    return s;
}

/* The part of a write that lies in one sector. */
static void apply_part(struct image *m, const struct pending *w, int64_t number)
{
    int64_t from = number * SECTOR, to = from + SECTOR, end = w->offset + (int64_t)w->n;
    from = from > w->offset ? from : w->offset;
    to = to < end ? to : end;
    image_write(m, from, w->data + (from - w->offset), (size_t)(to - from));
}

static int64_t last_sector(const struct pending *w)
{
    return (w->offset + (int64_t)w->n - 1) / SECTOR;
}

static void choose_sectors(struct tl_disk *d, struct tl_disk_file *f, struct tl_map *sectors,
                           enum style style, struct tl_rng *rng)
{
    for (size_t i = 0; i < f->pending_count; i++) {
        const struct pending *w = &f->pending[i];
        for (int64_t s = w->offset / SECTOR; w->data && w->n && s <= last_sector(w); s++) {
            sector_of(sectors, s)->touched++;
        }
    }
    TL_MAP_EACH (e, sectors) {
        struct sector *s = e->value;
        s->keep = style == LOSE_ALL   ? 0
                  : style == KEEP_ALL ? s->touched
                                      : tl_rng_below(rng, s->touched + 1);
        d->stats.sectors_at_risk++;
        d->stats.sectors_lost += s->keep < s->touched;
    }
}

static int64_t choose_size(const struct tl_disk_file *f, enum style style, struct tl_rng *rng)
{
    size_t k = style == LOSE_ALL   ? 0
               : style == KEEP_ALL ? f->pending_count
                                   : (size_t)tl_rng_below(rng, f->pending_count + 1);
    return k ? f->pending[k - 1].size_after : f->synced.size;
}

static void survive(struct tl_disk *d, struct tl_disk_file *f, struct tl_rng *rng)
{
    if (f->pending_count == 0) {
        return;
    }
    enum style style = roll_style(rng);
    struct tl_map sectors;
    tl_map_init(&sectors);
    choose_sectors(d, f, &sectors, style, rng);
    int64_t size = choose_size(f, style, rng);
    for (size_t i = 0; i < f->pending_count; i++) {
        const struct pending *w = &f->pending[i];
        for (int64_t n = w->offset / SECTOR; w->data && w->n && n <= last_sector(w); n++) {
            struct sector *s = sector_of(&sectors, n);
            if (s->seen++ < s->keep) {
                apply_part(&f->synced, w, n);
            }
        }
    }
    TL_MAP_EACH (e, &sectors) {
        tl_mem_free(e->value);
    }
    tl_map_deinit(&sectors);
    image_resize(&f->synced, size);
    forget_pending(f);
    d->used += size - f->live.size;
    image_copy(&f->live, &f->synced);
}

/* Names made or deleted since the last sync of names: each either way. */
static void survive_names(struct tl_disk *d, struct tl_rng *rng)
{
    enum style style = roll_style(rng);
    TL_MAP_EACH (e, &d->live) {
        if (tl_map_get(&d->durable, tl_map_key(e)) != e->value &&
            (style == KEEP_ALL || (style == ROLL_DICE && tl_rng_below(rng, 2)))) {
            set_name(d, &d->durable, tl_map_key(e), e->value);
        }
    }
    TL_MAP_EACH (e, &d->durable) {
        if (!tl_map_get(&d->live, tl_map_key(e)) &&
            (style == KEEP_ALL || (style == ROLL_DICE && tl_rng_below(rng, 2)))) {
            set_name(d, &d->durable, tl_map_key(e), NULL);
        }
    }
    TL_MAP_EACH (e, &d->live) {
        if (tl_map_get(&d->durable, tl_map_key(e)) != e->value) {
            set_name(d, &d->live, tl_map_key(e), NULL);
        }
    }
    TL_MAP_EACH (e, &d->durable) {
        set_name(d, &d->live, tl_map_key(e), e->value);
    }
}

void tl_disk_power_cut(struct tl_disk *d, struct tl_rng *rng)
{
    d->stats.power_cuts++;
    survive_names(d, rng);
    TL_MAP_EACH (e, &d->live) {
        survive(d, e->value, rng);
    }
}
