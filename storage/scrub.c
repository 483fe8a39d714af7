/* See scrub.h. In the catalog: _store/scrub = struct saved. */
#include "storage/scrub.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "storage/seg_map.h"
#include "storage/store_int.h"

#include <inttypes.h>

enum { SAVED_VERSION = 2, SAVE_S = 60, IDLE_MS = 500, TRIES = 3 };
struct saved {
    uint32_t version, share;
    int64_t began_ms;
    uint64_t generation, stream;
    uint64_t over;
};
_Static_assert(sizeof(struct saved) == 40, "no padding");
#define KEY_SCRUB STR("_store/scrub")

/* -- where it stands ------------------------------------------------------------------------------------------- */

static void load(struct store *s)
{
    struct scrub *c = &s->scrub;
    struct arena a;
    struct str v;
    struct saved r;
    arena_init(&a, NULL);
    err_t e = s->o.kv->get(s->o.kv, KEY_SCRUB, &a, &v);
    if (e == OK && v.n == sizeof r) {
        memcpy(&r, v.p, sizeof r);
        if (r.version == SAVED_VERSION) {
            c->began_ms = r.began_ms;
            c->generation = r.generation;
            c->lane = (struct seg_lane){ r.stream, r.share };
            c->over = r.over != 0;
        }
    }
    arena_deinit(&a);
}

/* What cannot be kept is read once more after a restart. */
static void save(struct store *s, bool now)
{
    struct scrub *c = &s->scrub;
    const struct saved r = { .version = SAVED_VERSION, .share = c->lane.share, .began_ms = c->began_ms, .generation = c->generation,
                             .stream = c->lane.stream, .over = c->over };
    const struct kv_op op = { KEY_SCRUB, str_n(&r, sizeof r) };
    if (!now && rt_now().ns < c->saved_at.ns + SAVE_S * NS_PER_S) return;
    c->saved_at = rt_now();
    if (store_writable(s) == OK && s->o.kv->write(s->o.kv, &op, 1) != OK) log_debug("scrub.save", "error=\"%s\"", err_detail());
}

static bool place_after(const struct seg_info *i, uint64_t generation, struct seg_lane lane)
{
    return i->generation != generation ? i->generation > generation : seg_lane_cmp(seg_lane(i), lane) > 0;
}

/* The first segment behind the last one that is done; what is in the bucket is the bucket's to keep. */
static bool next_segment(const struct store *s, struct seg_info *out)
{
    const struct scrub *c = &s->scrub;
    const struct seg_info *best = NULL;
    for (uint32_t i = 0; i < s->ninfos; i++) {
        const struct seg_info *k = &s->infos[i];
        bool behind = !k->remote && (c->generation == 0 || place_after(k, c->generation, c->lane));
        if (behind && (!best || place_after(best, k->generation, seg_lane(k)))) best = k;
    }
    if (best) *out = *best;
    return best != NULL;
}

static bool named(const struct store *s, const char name[40], struct seg_info *out)
{
    for (uint32_t i = 0; i < s->ninfos; i++) {
        if (memcmp(s->infos[i].name, name, sizeof s->infos[i].name) != 0) continue;
        *out = s->infos[i];
        return true;
    }
    return false;
}

/* -- one segment --------------------------------------------------------------------------------------------------- */

static err_t pause_until(struct scrub *c, mono_ns at)
{
    while (!c->stop && rt_now().ns < at.ns) {
        err_t e = event_wait_until(&c->wake, at);
        if (e != OK && e != ERR_TIMEOUT) return e;
        event_reset(&c->wake);
    }
    return c->stop ? err_set(ERR_CANCELED, "the store is closing") : OK;
}

static err_t pace(void *arg, uint64_t bytes)
{
    struct scrub *c = arg;
    metric_add(M_SCRUBBED_BYTES, (int64_t)bytes);
    TRY(rt_checkpoint());
    if (c->rate == 0) return c->stop ? err_set(ERR_CANCELED, "the store is closing") : OK;
    mono_ns from = { MAX(c->next_at.ns, rt_now().ns) };
    c->next_at = mono_add(from, (int64_t)((double)bytes / (double)c->rate * 1e9));
    return pause_until(c, c->next_at);
}

/* False when the store closes. */
static bool check_group(struct store *s, struct seg *g, uint32_t i)
{
    struct scrub *c = &s->scrub;
    err_t e = OK;
    for (unsigned k = 0; k < TRIES; k++) {
        e = seg_verify_group(g, i, pace, c);
        if (e != ERR_IO) break;
        if (pause_until(c, mono_add(rt_now(), NS_PER_S)) != OK) return false;
    }
    if (e == ERR_CANCELED || c->stop) return false;
    if (e == OK) {
        lost_found(&s->lost, seg_info(g), i);
    } else if (e == ERR_CORRUPT || e == ERR_IO) {
        metric_add(M_SCRUB_FINDINGS, 1);
        if (store_has_seg(s, seg_info(g))) lost_group(s, seg_info(g), i, seg_group(g, i));
    }
    return true;
}

static bool check_segment(struct store *s, const struct seg_info *i)
{
    struct seg *g;
    err_t e = seg_open(s->seg_dir, i, &g);
    struct seg_info now;
    if (e != OK && named(s, i->name, &now) && now.remote) return !s->scrub.stop; /* evicted meanwhile */
    if (e != OK) {
        /* What was lost at start is told of by lost.h; what is deleted meanwhile is no matter. */
        if (store_has_seg(s, i) && !lost_any(&s->lost, i)) {
            metric_add(M_SCRUB_FINDINGS, 1);
            lost_file(s, i);
        }
        return !s->scrub.stop;
    }
    lost_found(&s->lost, i, LOST_FILE);
    bool on = true;
    for (uint32_t k = 0; on && k < seg_ngroups(g); k++)
        on = check_group(s, g, k);
    if (on) e = seg_verify_indexes(g, pace, &s->scrub);
    if (on && e == OK) lost_found(&s->lost, i, LOST_INDEX);
    if (on && e == ERR_CORRUPT) {
        metric_add(M_SCRUB_FINDINGS, 1);
        if (store_has_seg(s, i)) lost_index(s, i);
    }
    seg_put(g);
    seg_suspect_forget(i->name); /* this look at it made it one again */
    return on && e != ERR_CANCELED;
}

/* -- passes --------------------------------------------------------------------------------------------------------- */

/* A segment that a query found wrong. */
static bool take_suspect(struct store *s, struct seg_info *out)
{
    char name[40];
    while (seg_suspect_take(name))
        if (named(s, name, out)) return true;
    return false;
}

static void begin_pass(struct store *s, int64_t now_ms)
{
    struct scrub *c = &s->scrub;
    if (c->began_ms) metric_add(M_SCRUB_PASSES, 1);
    c->began_ms = now_ms;
    c->generation = 0;
    c->lane = (struct seg_lane){ 0 };
    c->over = false;
    save(s, true);
}

/* One segment, or a short wait. */
static void step(struct store *s)
{
    struct scrub *c = &s->scrub;
    struct seg_info i;
    int64_t now_ms = rt_wall().ns / NS_PER_MS;
    if (c->began_ms > now_ms) c->began_ms = now_ms; /* the clock went back */
    c->rate = 0;
    if (take_suspect(s, &i)) {
        (void)check_segment(s, &i);
        return;
    }
    bool due = s->o.scrub_ms > 0 && s->ninfos > 0;
    if (due && (c->began_ms == 0 || (c->over && now_ms - c->began_ms >= s->o.scrub_ms))) begin_pass(s, now_ms);
    if (due && !c->over && next_segment(s, &i)) {
        c->rate = MAX((int64_t)SCRUB_RATE_MIN, (int64_t)((double)atomic_load(&s->segment_bytes) / ((double)s->o.scrub_ms / 1000)));
        if (!check_segment(s, &i)) return;
        c->generation = i.generation;
        c->lane = seg_lane(&i);
        save(s, false);
        return;
    }
    if (due && !c->over) {
        c->over = true;
        save(s, true);
    }
    (void)pause_until(c, mono_add(rt_now(), (int64_t)IDLE_MS * NS_PER_MS));
}

static void scrub_fiber(void *arg)
{
    struct store *s = arg;
    load(s);
    while (!s->scrub.stop)
        step(s);
}

err_t scrub_start(struct store *s)
{
    event_init(&s->scrub.wake);
    scope_init(&s->scrub.scope, NULL);
    const struct fiber_opts fo = { .name = "scrub", .class = RT_MAINTENANCE };
    return fiber_start(&s->scrub.scope, &fo, scrub_fiber, s);
}

void scrub_stop(struct store *s)
{
    s->scrub.stop = true;
    event_signal(&s->scrub.wake);
    err_t e = scope_join(&s->scrub.scope);
    ASSERT(e == OK);
    scope_deinit(&s->scrub.scope);
}
