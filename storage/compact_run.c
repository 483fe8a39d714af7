/* Merging segments in the background: when, where, and what becomes of it. What is picked: compact.h; how it is
 * merged: seg_merge.h.
 *
 * Every core has a driver, a fiber of core 0. It asks for the next merge of its core after each seal and merge, and now and then:
 *   pick     on core 0, from infos; when there is nothing, on the core: a segment that retention has something new to say of, for
 *            a rule with matchers or a resolution (keep_rules_judge), is written again alone; one that was evicted, too, unless the
 *            bucket is away: what comes of it is on this disk until it is uploaded and evicted in turn
 *            Before all that: a segment of a stream that another node wants a copy of, in which tombstones hide something
 *            (compaction_work_in), alone; of those that were written by another number of cores, too, which nothing else writes again,
 *            and also where segments are not merged (opts.merge_bytes)
 *   merge    on the core itself, whose segments they are: it holds the inputs and their marks of dead rows meanwhile
 *   swap     on core 0, with s->changing held: if the inputs are still there and their marks are the same, they are swapped
 *            for the output. Else the output is thrown away, and the picking begins anew
 * Every half a minute it looks, on that core, which segments have much that nobody reads any more (compact_worn).
 * So a core merges one thing at a time, cores merge side by side, and a seal waits for a merge only while one swaps.
 *
 * Memory: a merge reserves about what it will take of merge_memory and waits when others have it; what is more than all of
 * it takes fewer inputs, and of two inputs goes on alone. Disk: it must not be tight (disk.h), and have room for twice the
 * inputs.
 * An error is logged and waited after, longer each time; inputs that fail FAILURES_MAX times, or are corrupt, are left until
 * the next start. Closing the store ends a merge at its next check. */
#include "base/core/assert.h"
#include "base/core/errinj.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "storage/compact.h"
#include "storage/disk.h"
#include "storage/object_cache.h"
#include "storage/object_tier.h"
#include "storage/retention.h"
#include "storage/seg_dead.h"
#include "storage/seg_map.h"
#include "storage/seg_merge.h"

#include <inttypes.h>
#include <stdlib.h>

enum { LOOK_MS = 10000, WORN_MS = 30000, WAIT_MS = 1000, WAIT_MAX_MS = 600000, FAILURES_MAX = 5, LEFT_MAX = 1024, OUTPUT_BYTES = 64 << 20,
       ASKED_MAX = 64, ASKED_MS = 600000 /* longer than who was refused waits before he asks again */ };
enum outcome { NOTHING, MERGED, AGAIN, WAIT };

struct driver {
    struct compaction *all;
    unsigned core;
    struct event wake;
    uint32_t failures; /* one after another */
    struct seg_info *left; /* that are not tried any more */
    uint32_t nleft, left_cap;
    struct compact_worn *worn; /* as it was when it was looked at last */
    uint32_t nworn, worn_cap;
    mono_ns worn_at;           /* when it is looked at next */
    uint64_t stream;           /* of the last merge: others come before it again */
};

struct asked { /* a stream into which tombstones are to be worked */
    uint64_t stream;
    mono_ns until;
};

struct compaction {
    struct store *s;
    struct scope scope;
    struct asked asked[ASKED_MAX]; /* core 0's */
    uint32_t nasked;
    _Atomic bool stop;
    _Atomic int64_t reserved; /* bytes */
    struct budget memory;
    struct driver drivers[];
};

struct job {
    struct compaction *all;
    struct seg_info info[COMPACT_FAN_MAX], out;
    uint32_t n;
    /* of the core that merges */
    struct seg_merge_in in[COMPACT_FAN_MAX];
    struct tomb_set *tombs;
    struct keep_rules *keep;
    struct seg_merge merge;
    int64_t reserved;
    bool no_memory;
    const struct seg_info *left; /* that are not written again alone */
    uint32_t nleft;
    uint64_t asked[ASKED_MAX];   /* streams */
    uint32_t nasked;
};

static void drop_output(const struct job *j)
{
    struct arena a;
    for (uint32_t i = 0; i < j->n; i++)
        if (memcmp(j->info[i].name, j->out.name, sizeof j->out.name) == 0) return; /* the same bytes came out as went in: it is the input's file */
    arena_init(&a, NULL);
    err_t ignored = fs_unlink(arena_printf(&a, "%s/%s", j->all->s->seg_dir, j->out.name).p); /* else at the next start */
    (void)ignored;
    arena_deinit(&a);
}

/* -- on the core whose segments they are ----------------------------------------------------------------------- */

static struct seg *find_seg(const struct shard *sh, const struct seg_info *i)
{
    for (uint32_t k = 0; k < sh->nsegs; k++)
        if (memcmp(seg_info(sh->segs[k])->name, i->name, sizeof i->name) == 0) return sh->segs[k];
    return NULL;
}

static bool is_left(const struct job *j, const struct seg_info *i)
{
    for (uint32_t k = 0; k < j->nleft; k++)
        if (memcmp(j->left[k].name, i->name, sizeof i->name) == 0) return true;
    return false;
}

/* Reserves the memory of as many inputs as there is for; false when others have it. */
static err_t reserve(struct job *j, bool *ok)
{
    struct compaction *c = j->all;
    int64_t limit = c->s->o.merge_memory;
    for (;; j->n--) {
        uint64_t bytes;
        TRY(seg_merge_memory(j->in, j->n, &bytes));
        j->reserved = (int64_t)MIN(bytes, (uint64_t)INT64_MAX / 2) + OUTPUT_BYTES;
        if (j->reserved <= limit || j->n <= 2) break;
        seg_dead_put(j->in[j->n - 1].dead);
        seg_put(j->in[j->n - 1].seg);
    }
    int64_t before = atomic_fetch_add(&c->reserved, j->reserved);
    *ok = before == 0 || before + j->reserved <= limit;
    if (!*ok) {
        atomic_fetch_sub(&c->reserved, j->reserved);
        j->reserved = 0;
    }
    return OK;
}

static uint32_t judge(const struct job *j, const struct seg *g, int64_t now_ns)
{
    uint32_t n = seg_ngroups(g), hash;
    if (!j->keep || !j->keep->judges) return 0;
    const struct seg_group **groups = malloc(((size_t)n + 1) * sizeof *groups);
    ASSERT(groups);
    for (uint32_t i = 0; i < n; i++)
        groups[i] = seg_group(g, i);
    hash = keep_rules_judge(j->keep, groups, n, seg_info(g)->tmax_ns, now_ns);
    free(groups);
    return hash;
}

/* What retention had to say of the output is done. */
static err_t judge_output(struct job *j)
{
    struct seg *g;
    if (j->merge.empty || !j->keep->judges) return OK;
    TRY(seg_open(j->all->s->seg_dir, &j->out, &g));
    j->out.judged = judge(j, g, j->merge.keep_now_ns);
    seg_put(g);
    return OK;
}

/* The first of this core's that is to be written again, into info[0]. */
static err_t find_alone(void *arg)
{
    struct job *j = arg;
    struct store *s = j->all->s;
    struct shard *sh = shard_here(s);
    int64_t now_ns = atomic_load(&s->keep_now_ns);
    j->keep = keep_rules_get(sh->keep);
    for (uint32_t i = 0; i < sh->nsegs && j->n == 0; i++) {
        const struct seg_info *info = seg_info(sh->segs[i]);
        if (info->core != rt_core() || info->cores != s->cores || is_left(j, info)) continue;
        if (info->remote && object_cache_away(sh->cache)) continue; /* when the bucket is back */
        uint32_t hash = judge(j, sh->segs[i], now_ns);
        if (hash != 0 && hash != info->judged) j->info[j->n++] = *info;
    }
    keep_rules_put(j->keep);
    j->keep = NULL;
    return OK;
}

static bool is_asked(const struct job *j, uint64_t stream)
{
    for (uint32_t i = 0; i < j->nasked; i++)
        if (j->asked[i] == stream) return true;
    return false;
}

/* Is this the core that writes it again? Several have one open that was written by another number of cores. */
static bool is_first_core(const struct store *s, const struct seg_info *i)
{
    unsigned core = 0;
    while (core < s->cores && !shard_wants_seg(s, core, i))
        core++;
    return core == rt_core();
}

/* The first of this core's that is wanted elsewhere, and not without what tombstones hide, into info[0]. */
static err_t find_hidden(void *arg)
{
    struct job *j = arg;
    const struct shard *sh = shard_here(j->all->s);
    for (uint32_t i = 0; i < sh->nsegs && j->n == 0; i++) {
        const struct seg_info *info = seg_info(sh->segs[i]);
        if (!is_asked(j, info->stream) || is_left(j, info) || !is_first_core(j->all->s, info)) continue;
        if (tombs_hide(sh->tombs, sh->segs[i])) j->info[j->n++] = *info;
    }
    return OK;
}

static err_t merge_here(void *arg)
{
    struct job *j = arg;
    struct compaction *c = j->all;
    struct shard *sh = shard_here(c->s);
    uint32_t wanted = j->n;
    j->tombs = tomb_set_get(sh->tombs);
    j->keep = keep_rules_get(sh->keep);
    for (j->n = 0; j->n < wanted; j->n++) {
        struct seg *g = find_seg(sh, &j->info[j->n]);
        if (!g) return err_set(ERR_NOT_FOUND, "%s is gone", j->info[j->n].name);
        j->in[j->n] = (struct seg_merge_in){ seg_get(g), seg_dead_get(seg_dead_of(g)) };
    }
    bool ok;
    TRY(reserve(j, &ok));
    j->no_memory = !ok;
    if (!ok) return OK;
    j->merge = (struct seg_merge){ .dir = c->s->seg_dir, .in = j->in, .n = j->n, .tombs = j->tombs, .keep = j->keep,
                                   .keep_now_ns = atomic_load(&c->s->keep_now_ns), .budget = &c->memory, .stop = &c->stop };
    TRY(seg_merge(&j->merge, &j->out));
    err_t e = judge_output(j);
    if (e == OK) return OK;
    struct err_record why = *err_record();
    if (!j->merge.empty) drop_output(j);
    *err_record() = why;
    return e;
}

/* By the holder of s->changing: the marks cannot change any more. */
static err_t same_here(void *arg)
{
    struct job *j = arg;
    for (uint32_t i = 0; i < j->n; i++) {
        if (find_seg(shard_here(j->all->s), &j->info[i]) != j->in[i].seg) /* evicted: marks go to the one that took its place */
            return err_set(ERR_NOT_FOUND, "%s is read from the bucket by now", j->info[i].name);
        if (seg_dead_of(j->in[i].seg) != j->in[i].dead) return err_set(ERR_NOT_FOUND, "rows of %s were deleted meanwhile", j->info[i].name);
    }
    return OK;
}

static err_t release_here(void *arg)
{
    struct job *j = arg;
    while (j->n > 0) {
        struct seg_merge_in *in = &j->in[--j->n];
        struct seg *g = in->seg;
        seg_dead_put(in->dead);
        *in = (struct seg_merge_in){ 0 };
        seg_put(g);
    }
    tomb_set_put(j->tombs);
    j->tombs = NULL;
    keep_rules_put(j->keep);
    j->keep = NULL;
    atomic_fetch_sub(&j->all->reserved, j->reserved);
    j->reserved = 0;
    return OK;
}

/* -- what nobody reads any more: looked for now and then, in directories alone, of segments that have such -- */

static err_t group_bytes(const struct seg_group *g, uint64_t *bytes)
{
    struct arena a;
    struct seg_place *v;
    uint32_t n;
    *bytes = g->meta.n;
    arena_init(&a, NULL);
    err_t e = seg_map_group(g, &a, &v, &n);
    for (uint32_t i = 0; e == OK && i < n; i++)
        *bytes += v[i].chunk.size;
    arena_deinit(&a);
    return e == OK && rt_in_fiber() ? rt_checkpoint() : e;
}

static bool has_gone(const struct outside *o, const struct seg *g)
{
    bool some = o->dead != NULL;
    for (uint32_t i = 0; !some && i < seg_ngroups(g); i++)
        some = group_gone(o, g, i);
    return some;
}

static err_t measure(const struct outside *o, const struct seg *g, struct compact_worn *w)
{
    memcpy(w->name, seg_info(g)->name, sizeof w->name);
    for (uint32_t i = 0; i < seg_ngroups(g); i++) {
        const struct seg_group *x = seg_group(g, i);
        uint64_t bytes;
        TRY(group_bytes(x, &bytes));
        w->bytes += bytes;
        if (group_gone(o, g, i)) w->gone += bytes;
        else if (x->signal != SIG_METRICS && x->nrows) w->gone += bytes * seg_dead_count(o->dead, i) / x->nrows;
    }
    return OK;
}

/* The list may change while one is measured: it is gone through by name, what comes or goes meanwhile is for the next time. */
static err_t worn_here(void *arg)
{
    struct driver *d = arg;
    struct store *s = d->all->s;
    const struct shard *sh = shard_here(s);
    struct tomb_set *tombs = tomb_set_get(sh->tombs);
    struct keep_rules *keep = keep_rules_get(sh->keep);
    struct seg **segs = malloc(((size_t)sh->nsegs + 1) * sizeof(struct seg *));
    uint32_t n = sh->nsegs;
    err_t e = OK;
    ASSERT(segs);
    d->nworn = 0;
    for (uint32_t i = 0; i < n; i++)
        segs[i] = seg_get(sh->segs[i]);
    for (uint32_t i = 0; i < n; i++) {
        struct seg_dead *dead = seg_dead_get(seg_dead_of(segs[i]));
        const struct outside o = { tombs, keep, atomic_load(&s->keep_now_ns), dead };
        struct compact_worn w = { .bytes = 0 };
        if (e == OK && !atomic_load(&d->all->stop) && has_gone(&o, segs[i])) {
            e = measure(&o, segs[i], &w);
            d->worn = store_grow(d->worn, &d->worn_cap, d->nworn + 1, sizeof *d->worn);
            d->worn[d->nworn++] = w;
        }
        seg_dead_put(dead);
        seg_put(segs[i]);
    }
    free(segs);
    keep_rules_put(keep);
    tomb_set_put(tombs);
    return e;
}

/* Not known for some reason: whole. */
static void look_for_worn(struct driver *d)
{
    if (rt_now().ns < d->worn_at.ns) return;
    d->worn_at = mono_add(rt_now(), (int64_t)WORN_MS * NS_PER_MS);
    if (rt_call(d->core, RT_MAINTENANCE, worn_here, d) != OK) d->nworn = 0;
}

/* -- picking -------------------------------------------------------------------------------------------------------- */

static uint32_t splits_of(const struct store *s, uint64_t *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->ndeletes; i++)
        if (!s->deletes[i].done) out[n++] = s->deletes[i].generation;
    return n;
}

/* Sorts infos. What retention will take soon is not worth merging: in the next eighth of the age, or when the tenth of the
 * bytes that is kept longest is there again. */
static void keep_from(const struct store *s, struct compact_rule *r, struct seg_info *infos, uint32_t n)
{
    struct retention_rule soon = { .bytes_max = atomic_load(&s->segment_bytes_max) / 10 * 9 };
    int64_t age_ns = store_default_age(s);
    if (age_ns > 0) {
        soon.age_ns = MAX(age_ns - age_ns / 8, 1);
        r->window_ns = MAX(MIN(r->window_ns, age_ns / 8), 1);
    }
    uint32_t gone = retention_pick(&soon, (unix_ns){ atomic_load(&s->keep_now_ns) }, infos, n);
    r->keep_from_ns = gone > 0 && infos[gone - 1].tmax_ns < INT64_MAX ? infos[gone - 1].tmax_ns + 1 : INT64_MIN;
}

/* What failed before, what cannot be read, if only in part, what the object tier wants to rest, and what is not on this disk, unless
 * evicted_too. */
static struct seg_info *left_now(struct driver *d, bool evicted_too, uint32_t *n)
{
    struct store *s = d->all->s;
    struct seg_info *left = malloc(((size_t)d->nleft + s->ninfos + 1) * sizeof *left);
    ASSERT(left);
    *n = d->nleft;
    if (*n) memcpy(left, d->left, *n * sizeof *left);
    for (uint32_t i = 0; i < s->ninfos; i++)
        if ((s->infos[i].remote && !evicted_too) || tier_rests(s, &s->infos[i]) || (atomic_load(&s->lost.all) > 0 && lost_any(&s->lost, &s->infos[i]))) left[(*n)++] = s->infos[i];
    return left;
}

static int by_stream(const void *x, const void *y)
{
    const struct seg_info *a = x, *b = y;
    return (a->stream > b->stream) - (a->stream < b->stream);
}

/* Sorts infos. Stream by stream, from the one behind that of the last merge on; j->info, j->n. */
static void pick_of_streams(struct driver *d, struct compact_rule *r, struct seg_info *infos, uint32_t n, struct job *j)
{
    if (n > 1) qsort(infos, n, sizeof *infos, by_stream);
    for (unsigned round = 0; round < 2; round++)
        for (uint32_t i = 0, next; i < n; i = next) {
            uint64_t stream = infos[i].stream;
            for (next = i + 1; next < n && infos[next].stream == stream;)
                next++;
            if ((stream > d->stream) != (round == 0)) continue;
            for (uint32_t class = 0; class < 2; class++) {
                uint32_t first;
                r->lane = (struct seg_lane){ stream, d->core << 1 | class };
                j->n = compact_pick(r, infos + i, next - i, &first);
                if (j->n == 0) continue;
                memcpy(j->info, infos + i + first, j->n * sizeof *infos);
                d->stream = stream;
                return;
            }
        }
}

/* What `find` finds on the core, beside what is left. */
static void pick_there(struct driver *d, struct job *j, rt_call_fn *find, bool evicted_too)
{
    struct seg_info *left = left_now(d, evicted_too, &j->nleft);
    j->left = left;
    if (rt_call(d->core, RT_MAINTENANCE, find, j) != OK) j->n = 0;
    j->left = NULL;
    j->nleft = 0;
    free(left);
}

static void pick(struct driver *d, struct job *j)
{
    const struct store *s = d->all->s;
    struct seg_info *infos = malloc(((size_t)s->ninfos + 1) * sizeof *infos);
    uint64_t *splits = malloc(((size_t)s->ndeletes + 1) * sizeof *splits);
    ASSERT(infos && splits);
    uint32_t n = s->ninfos, nleft;
    struct seg_info *left = left_now(d, false, &nleft);
    if (n) memcpy(infos, s->infos, n * sizeof *infos);
    for (uint32_t i = 0; i < n; i++)
        if (infos[i].remote) infos[i].bytes = 0; /* of this disk's share it takes nothing */
    struct compact_rule r = { .cores = s->cores, .bytes_max = (uint64_t)s->o.merge_bytes, .left = left, .nleft = nleft,
                              .splits = splits, .nsplits = splits_of(s, splits), .worn = d->worn, .nworn = d->nworn };
    if (__builtin_mul_overflow(s->o.merge_window_ms, (int64_t)NS_PER_MS, &r.window_ns)) r.window_ns = INT64_MAX;
    keep_from(s, &r, infos, n);
    pick_of_streams(d, &r, infos, n, j);
    free(left);
    free(splits);
    free(infos);
    /* One that a rule has something new to say of: of what was evicted too, which is read from the bucket for that, and uploaded anew. */
    if (j->n == 0 && s->keep->judges) pick_there(d, j, find_alone, true);
}

/* Those that were asked for long ago are forgotten. */
static void pick_asked(struct driver *d, struct job *j)
{
    struct compaction *c = d->all;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->nasked; i++)
        if (c->asked[i].until.ns > rt_now().ns) c->asked[kept++] = c->asked[i];
    c->nasked = kept;
    metric_set(M_MERGES_ASKED, kept);
    if (kept == 0) return;
    for (uint32_t i = 0; i < kept; i++)
        j->asked[j->nasked++] = c->asked[i].stream;
    pick_there(d, j, find_hidden, false);
}

void compaction_work_in(struct store *s, uint64_t stream)
{
    struct compaction *c = s->compaction;
    uint32_t i = 0;
    if (!c) return;
    while (i < c->nasked && c->asked[i].stream != stream)
        i++;
    if (i == ASKED_MAX) return; /* its turn comes with one of the next times that it is asked for */
    c->asked[i] = (struct asked){ stream, mono_add(rt_now(), (int64_t)ASKED_MS * NS_PER_MS) };
    c->nasked = MAX(c->nasked, i + 1);
    metric_set(M_MERGES_ASKED, c->nasked);
    compaction_wake(s);
}

static bool room_on_disk(const struct job *j)
{
    struct fs_space space;
    uint64_t bytes = 0;
    if (disk_tight(j->all->s)) return false;
    for (uint32_t i = 0; i < j->n; i++)
        bytes += j->info[i].bytes;
    return fs_space(j->all->s->o.dir, &space) == OK && space.free_bytes / 2 >= bytes;
}

/* -- what becomes of it ------------------------------------------------------------------------------------------- */

/* By the holder of s->changing. ERR_NOT_FOUND: the inputs are not what they were. */
static err_t check_and_swap(struct driver *d, struct job *j)
{
    struct store *s = d->all->s;
    err_t e = OK;
    j->out.generation_first = j->info[0].generation_first;
    j->out.generation = j->info[j->n - 1].generation;
    j->out.worked = j->tombs && j->tombs->n ? j->tombs->t[j->tombs->n - 1]->id : 0;
    j->out.core = j->info[0].core;
    j->out.object = j->info[0].object;
    j->out.stream = j->info[0].stream;
    j->out.sealed_ms = j->info[0].sealed_ms;
    j->out.cores = j->info[0].cores;
    for (uint32_t i = 0; i < j->n; i++) {
        j->out.level = MAX(j->out.level, j->info[i].level + (j->n > 1));
        j->out.sealed_ms = MIN(j->out.sealed_ms, j->info[i].sealed_ms);
        if (!store_has_seg(s, &j->info[i])) e = err_set(ERR_NOT_FOUND, "%s is gone", j->info[i].name);
    }
    if (store_delete_splits(s, j->out.generation_first, j->out.generation)) e = err_set(ERR_NOT_FOUND, "a deletion began meanwhile");
    if (e == OK) e = rt_call(d->core, RT_MAINTENANCE, same_here, j);
    if (e == OK) return store_swap(s, &(struct seg_swap){ .out = j->info, .nout = j->n, .in = &j->out, .nin = !j->merge.empty });
    struct err_record why = *err_record();
    if (!j->merge.empty) drop_output(j);
    *err_record() = why;
    return e;
}

static void leave(struct driver *d, const struct job *j)
{
    for (uint32_t i = 0; i < j->n; i++) {
        if (d->nleft == LEFT_MAX) memmove(d->left, d->left + 1, --d->nleft * sizeof *d->left);
        d->left = store_grow(d->left, &d->left_cap, d->nleft + 1, sizeof *d->left);
        d->left[d->nleft++] = j->info[i];
    }
    d->failures = 0;
}

static enum outcome failed(struct driver *d, const struct job *j, err_t e)
{
    if (atomic_load(&d->all->stop)) return NOTHING;
    bool evicted = j->n == 1 && j->info[0].remote && store_has_seg(d->all->s, &j->info[0]);
    if (e == ERR_NOT_FOUND && !evicted) {
        metric_add(M_MERGES_STALE, 1);
        log_info("store.merge_stale", "core=%u why=\"%s\"", d->core, err_detail());
        return WAIT;
    }
    metric_add(M_MERGES_FAILED, 1);
    log_warn("store.merge", "core=%u segments=%u first=%s error=%s", d->core, j->n, j->info[0].name, err_detail());
    if (evicted && err_retryable(e)) return WAIT; /* the bucket's, not the segment's */
    if (++d->failures < FAILURES_MAX && e != ERR_CORRUPT && e != ERR_TOO_LARGE) return WAIT;
    leave(d, j);
    return AGAIN;
}

static void merged(const struct driver *d, const struct job *j, mono_ns began)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < j->n; i++)
        bytes += j->info[i].bytes;
    metric_add(M_MERGES, 1);
    metric_add(M_MERGED_SEGMENTS, j->n);
    metric_add(M_MERGE_BYTES_IN, (int64_t)bytes);
    metric_add(M_MERGE_BYTES_OUT, (int64_t)j->out.bytes);
    metric_add(M_MERGE_GROUPS_COPIED, j->merge.groups_copied);
    metric_add(M_MERGE_GROUPS_DROPPED, j->merge.groups_dropped);
    metric_add(M_MERGE_ROWS_DROPPED, (int64_t)j->merge.rows_dropped);
    metric_add(M_DOWNSAMPLED, (int64_t)j->merge.downsampled);
    log_info("store.merged", "core=%u stream=%016" PRIx64 " segments=%u level=%u generations=%" PRIu64 "-%" PRIu64 " bytes_in=%" PRIu64
             " bytes_out=%" PRIu64 " rows=%" PRIu64 " samples=%" PRIu64 " groups_copied=%u rows_dropped=%" PRIu64 " ms=%lld", d->core,
             j->out.stream, j->n, j->out.level, j->out.generation_first, j->out.generation, bytes, j->out.bytes, j->merge.rows, j->merge.samples, j->merge.groups_copied, j->merge.rows_dropped,
             (long long)((rt_now().ns - began.ns) / NS_PER_MS));
}

static enum outcome finish(struct driver *d, struct job *j, err_t e, mono_ns began)
{
    struct store *s = d->all->s;
    if (e == OK && j->no_memory) return WAIT;
    if (e == OK && errinj_hit(EI_MERGE_BEFORE_SWAP)) {
        if (!j->merge.empty) drop_output(j);
        e = err_set(ERR_IO, "injected: before a merge is swapped in");
    }
    if (e == OK) {
        e = sem_take(&s->changing, 1);
        ASSERT(e == OK); /* this fiber is not cancelled */
        e = check_and_swap(d, j);
        sem_give(&s->changing, 1);
    }
    if (e != OK) return failed(d, j, e);
    d->failures = 0;
    merged(d, j, began);
    return MERGED;
}

static enum outcome step(struct driver *d)
{
    struct job *j = calloc(1, sizeof *j);
    ASSERT(j);
    j->all = d->all;
    bool merges = d->all->s->o.merge_bytes > 0;
    if (merges) look_for_worn(d);
    pick_asked(d, j);
    if (merges && j->n == 0) pick(d, j);
    enum outcome out = NOTHING;
    if (j->n > 0 && !room_on_disk(j)) {
        out = WAIT;
    } else if (j->n > 0) {
        mono_ns began = rt_now();
        metric_add(M_MERGES_RUNNING, 1);
        err_t e = rt_call(d->core, RT_MAINTENANCE, merge_here, j);
        out = finish(d, j, e, began);
        struct err_record why = *err_record();
        while (rt_call(d->core, RT_MAINTENANCE, release_here, j) != OK)
            fiber_yield(); /* no fiber free there */
        *err_record() = why;
        metric_add(M_MERGES_RUNNING, -1);
    }
    free(j);
    return out;
}

/* -- drivers ----------------------------------------------------------------------------------------------------------- */

static void drive(void *arg)
{
    struct driver *d = arg;
    struct compaction *c = d->all;
    while (!atomic_load(&c->stop)) {
        event_reset(&d->wake); /* first: what happens during the step counts */
        enum outcome o = step(d);
        if (o == MERGED || o == AGAIN) continue;
        int64_t wait_ms = o == WAIT ? MIN((int64_t)WAIT_MS << MIN(d->failures, 20u), (int64_t)WAIT_MAX_MS) : (int64_t)LOOK_MS;
        mono_ns until = mono_add(rt_now(), wait_ms * NS_PER_MS);
        metric_add(M_MERGES_WAITING, o == WAIT);
        do {
            err_t e = event_wait_until(&d->wake, until);
            ASSERT(e == OK || e == ERR_TIMEOUT);
            if (o == WAIT) event_reset(&d->wake); /* new segments change nothing */
        } while (o == WAIT && rt_now().ns < until.ns && !atomic_load(&c->stop));
        metric_add(M_MERGES_WAITING, o == WAIT ? -1 : 0);
    }
}

err_t compaction_start(struct store *s)
{
    struct compaction *c = calloc(1, sizeof *c + s->cores * sizeof c->drivers[0]);
    ASSERT(c);
    c->s = s;
    s->compaction = c;
    /* What a merge takes is reserved before; this bounds what it takes beyond, of segments that are not what they say. */
    budget_init(&c->memory, "merges", NULL, MAX(s->o.merge_memory, OUTPUT_BYTES) * 4, ERR_OVERLOAD);
    scope_init(&c->scope, NULL);
    const struct fiber_opts fo = { .name = "merges", .class = RT_MAINTENANCE };
    for (unsigned i = 0; i < s->cores; i++) {
        c->drivers[i] = (struct driver){ .all = c, .core = i };
        event_init(&c->drivers[i].wake);
        err_t e = fiber_start(&c->scope, &fo, drive, &c->drivers[i]);
        if (e == OK) continue;
        compaction_stop(s);
        return e;
    }
    return OK;
}

void compaction_wake(struct store *s)
{
    for (unsigned i = 0; s->compaction && i < s->cores; i++)
        event_signal(&s->compaction->drivers[i].wake);
}

void compaction_clean(struct store *s)
{
    for (unsigned i = 0; s->compaction && i < s->cores; i++)
        s->compaction->drivers[i].worn_at = rt_now();
    compaction_wake(s);
}

void compaction_stop(struct store *s)
{
    struct compaction *c = s->compaction;
    if (!c) return;
    atomic_store(&c->stop, true);
    compaction_wake(s);
    err_t e = scope_join(&c->scope);
    ASSERT(e == OK);
    scope_deinit(&c->scope);
    for (unsigned i = 0; i < s->cores; i++) {
        free(c->drivers[i].left);
        free(c->drivers[i].worn);
    }
    s->compaction = NULL;
    free(c);
}
