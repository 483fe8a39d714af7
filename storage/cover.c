/* Covers, and their bytes. u64 little-endian; v = varint, in its shortest form.
 *
 *   cover  = u8 version (1) | v streams | stream*
 *   stream = u64 id | v origins | origin*
 *   origin = u64 id | v writers | writer*
 *   writer = v epoch | v core | v intervals | (v gap | v length - 1)*
 *
 * Streams, origins and writers (by epoch, then core) ascend, no two alike, none is empty; ids of streams and origins are not 0. The
 * gap of the first interval is counted from number 1, that of others from the second number behind the one before: touching
 * intervals cannot be said. So each cover has exactly one form. */
#include "storage/cover.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <stdlib.h>
#include <string.h>

enum { COVER_VERSION = 1 };

/* -- life ------------------------------------------------------------------------------------------------- */

void cover_init(struct cover *c) { *c = (struct cover){ 0 }; }

static void stream_deinit(struct cover_stream *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        interval_set_deinit(&s->writers[i].seqs);
    free(s->writers);
}

void cover_deinit(struct cover *c)
{
    for (uint32_t i = 0; i < c->n; i++)
        stream_deinit(&c->streams[i]);
    free(c->streams);
    cover_init(c);
}

/* -- finding and adding ----------------------------------------------------------------------------------- */

/* Room for `want` elements: exact while there are few, then half as many again. */
static void *grow(void *p, uint32_t *cap, uint32_t want, size_t size)
{
    if (want <= *cap) return p;
    ASSERT(want <= UINT32_MAX / 2);
    *cap = MAX(want, *cap + *cap / 2);
    p = realloc(p, *cap * size);
    ASSERT(p);
    return p;
}

static int writer_cmp(const struct cover_writer *w, node_id origin, uint64_t epoch, uint32_t core)
{
    if (w->origin.u != origin.u) return w->origin.u < origin.u ? -1 : 1;
    if (w->epoch != epoch) return w->epoch < epoch ? -1 : 1;
    return (w->core > core) - (w->core < core);
}

/* Where the stream is or would be. */
static uint32_t stream_at(const struct cover *c, uint64_t id, bool *there)
{
    uint32_t lo = 0, hi = c->n;
    if (c->n > 0 && c->streams[c->n - 1].id < id) lo = c->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (c->streams[mid].id < id) lo = mid + 1;
        else hi = mid;
    }
    *there = lo < c->n && c->streams[lo].id == id;
    return lo;
}

static uint32_t writer_at(const struct cover_stream *s, node_id origin, uint64_t epoch, uint32_t core, bool *there)
{
    uint32_t lo = 0, hi = s->n;
    if (s->n > 0 && writer_cmp(&s->writers[s->n - 1], origin, epoch, core) < 0) lo = s->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (writer_cmp(&s->writers[mid], origin, epoch, core) < 0) lo = mid + 1;
        else hi = mid;
    }
    *there = lo < s->n && writer_cmp(&s->writers[lo], origin, epoch, core) == 0;
    return lo;
}

static struct cover_stream *stream_get(struct cover *c, uint64_t id)
{
    bool there;
    uint32_t at = stream_at(c, id, &there);
    if (there) return &c->streams[at];
    ASSERT(id != 0);
    c->streams = grow(c->streams, &c->cap, c->n + 1, sizeof *c->streams);
    memmove(c->streams + at + 1, c->streams + at, (c->n - at) * sizeof *c->streams);
    c->streams[at] = (struct cover_stream){ .id = id };
    c->n++;
    return &c->streams[at];
}

static struct cover_writer *writer_get(struct cover_stream *s, node_id origin, uint64_t epoch, uint32_t core)
{
    bool there;
    uint32_t at = writer_at(s, origin, epoch, core, &there);
    if (there) return &s->writers[at];
    ASSERT(origin.u != 0);
    s->writers = grow(s->writers, &s->cap, s->n + 1, sizeof *s->writers);
    memmove(s->writers + at + 1, s->writers + at, (s->n - at) * sizeof *s->writers);
    s->writers[at] = (struct cover_writer){ .origin = origin, .epoch = epoch, .core = core };
    s->n++;
    return &s->writers[at];
}

static const struct cover_stream *stream_find(const struct cover *c, uint64_t id)
{
    bool there;
    uint32_t at = stream_at(c, id, &there);
    return there ? &c->streams[at] : NULL;
}

bool cover_has_stream(const struct cover *c, uint64_t stream)
{
    return stream_find(c, stream) != NULL;
}

bool cover_add_run(struct cover *c, const struct cover_run *r)
{
    ASSERT(r->first >= 1);
    struct cover_writer *w = writer_get(stream_get(c, r->stream), r->origin, r->epoch, r->core);
    return interval_set_add(&w->seqs, r->first, r->last);
}

bool cover_add(struct cover *c, const struct batch_name *n)
{
    struct cover_run r = { n->stream, n->origin, n->epoch, n->core, n->seq, n->seq };
    return cover_add_run(c, &r);
}

bool cover_has(const struct cover *c, const struct batch_name *n)
{
    const struct cover_stream *s = stream_find(c, n->stream);
    bool there = false;
    uint32_t at = s ? writer_at(s, n->origin, n->epoch, n->core, &there) : 0;
    return there && interval_set_has(&s->writers[at].seqs, n->seq);
}

/* -- sets ------------------------------------------------------------------------------------------------- */

static int writers_cmp(const struct cover_writer *a, const struct cover_writer *b)
{
    return writer_cmp(a, b->origin, b->epoch, b->core);
}

/* Makes room for the writers of `from` that are not there, then goes through both from their ends. */
static void stream_join(struct cover_stream *to, const struct cover_stream *from)
{
    uint32_t both = 0, i = 0, j = 0;
    while (i < to->n && j < from->n) {
        int d = writers_cmp(&to->writers[i], &from->writers[j]);
        both += d == 0;
        i += d <= 0;
        j += d >= 0;
    }
    uint32_t n = to->n + from->n - both, at = n;
    to->writers = grow(to->writers, &to->cap, n, sizeof *to->writers);
    i = to->n;
    j = from->n;
    while (j > 0) {
        const struct cover_writer *f = &from->writers[j - 1];
        int d = i > 0 ? writers_cmp(&to->writers[i - 1], f) : -1;
        at--;
        if (d >= 0) {
            i--;
            if (at != i) to->writers[at] = to->writers[i];
        } else {
            to->writers[at] = (struct cover_writer){ .origin = f->origin, .epoch = f->epoch, .core = f->core };
        }
        if (d <= 0) {
            interval_set_join(&to->writers[at].seqs, &f->seqs);
            j--;
        }
    }
    to->n = n;
}

void cover_join(struct cover *to, const struct cover *from)
{
    uint32_t both = 0, i = 0, j = 0;
    if (to == from) return;
    while (i < to->n && j < from->n) {
        uint64_t a = to->streams[i].id, b = from->streams[j].id;
        both += a == b;
        i += a <= b;
        j += a >= b;
    }
    uint32_t n = to->n + from->n - both, at = n;
    to->streams = grow(to->streams, &to->cap, n, sizeof *to->streams);
    i = to->n;
    j = from->n;
    while (j > 0) {
        const struct cover_stream *f = &from->streams[j - 1];
        bool ours = i > 0 && to->streams[i - 1].id >= f->id;
        bool theirs = !ours || to->streams[i - 1].id == f->id;
        at--;
        if (ours) to->streams[at] = to->streams[--i];
        else to->streams[at] = (struct cover_stream){ .id = f->id };
        if (theirs) {
            stream_join(&to->streams[at], f);
            j--;
        }
    }
    to->n = n;
}

static bool stream_holds(const struct cover_stream *s, const struct cover_stream *all)
{
    for (uint32_t i = 0, j = 0; j < all->n; j++) {
        while (i < s->n && writers_cmp(&s->writers[i], &all->writers[j]) < 0)
            i++;
        if (i == s->n || writers_cmp(&s->writers[i], &all->writers[j]) != 0
            || !interval_set_holds(&s->writers[i].seqs, &all->writers[j].seqs))
            return false;
    }
    return true;
}

bool cover_holds(const struct cover *c, const struct cover *all)
{
    for (uint32_t i = 0, j = 0; j < all->n; j++) {
        while (i < c->n && c->streams[i].id < all->streams[j].id)
            i++;
        if (i == c->n || c->streams[i].id != all->streams[j].id || !stream_holds(&c->streams[i], &all->streams[j]))
            return false;
    }
    return true;
}

/* but: NULL = nothing. */
static void stream_minus(const struct cover_stream *s, const struct cover_stream *but, struct cover *out)
{
    struct cover_stream *to = NULL;
    for (uint32_t i = 0, j = 0; i < s->n; i++) {
        const struct cover_writer *w = &s->writers[i];
        struct interval_set left, none = { 0 };
        while (but && j < but->n && writers_cmp(&but->writers[j], w) < 0)
            j++;
        bool same = but && j < but->n && writers_cmp(&but->writers[j], w) == 0;
        interval_set_init(&left);
        interval_set_minus(&w->seqs, same ? &but->writers[j].seqs : &none, &left);
        if (left.n == 0) continue;
        if (!to) to = stream_get(out, s->id);
        interval_set_join(&writer_get(to, w->origin, w->epoch, w->core)->seqs, &left);
        interval_set_deinit(&left);
    }
}

void cover_minus(const struct cover *c, const struct cover *but, struct cover *out)
{
    ASSERT(out != c && out != but);
    for (uint32_t i = 0, j = 0; i < c->n; i++) {
        const struct cover_stream *s = &c->streams[i];
        while (j < but->n && but->streams[j].id < s->id)
            j++;
        stream_minus(s, j < but->n && but->streams[j].id == s->id ? &but->streams[j] : NULL, out);
    }
}

void cover_pick(const struct cover *c, const uint64_t *streams, uint32_t n, struct cover *out)
{
    ASSERT(out != c);
    for (uint32_t i = 0; i < n; i++) {
        const struct cover_stream *s = stream_find(c, streams[i]);
        if (s) stream_join(stream_get(out, s->id), s);
    }
}

void cover_since(const struct cover *c, uint64_t stream, uint64_t version, struct cover *out)
{
    ASSERT(out != c);
    const struct cover_stream *s = stream_find(c, stream);
    struct cover_stream *to = NULL;
    for (uint32_t i = 0; s && i < s->n; i++) {
        const struct cover_writer *w = &s->writers[i];
        if (w->changed <= version) continue;
        if (!to) to = stream_get(out, stream);
        interval_set_join(&writer_get(to, w->origin, w->epoch, w->core)->seqs, &w->seqs);
    }
}

void cover_drop_stream(struct cover *c, uint64_t stream)
{
    bool there;
    uint32_t at = stream_at(c, stream, &there);
    if (!there) return;
    stream_deinit(&c->streams[at]);
    c->n--;
    memmove(c->streams + at, c->streams + at + 1, (c->n - at) * sizeof *c->streams);
    if (c->n == 0) cover_deinit(c);
}

/* -- sums, and what changed -------------------------------------------------------------------------------- */

static uint64_t end_hash(uint64_t stream, const struct cover_writer *w, uint64_t number)
{
    const uint64_t words[] = { stream, w->origin.u, w->epoch, w->core, number };
    return hash64(str_n(words, sizeof words));
}

static struct cover_sum sum_of(uint64_t stream, const struct cover_writer *w, uint64_t first, uint64_t last)
{
    return (struct cover_sum){ last - first + 1, end_hash(stream, w, first) - end_hash(stream, w, last + 1) };
}

static struct cover_sum writer_sum(uint64_t stream, const struct cover_writer *w)
{
    const struct interval *v = interval_set_all(&w->seqs);
    struct cover_sum sum = { 0 };
    for (uint32_t i = 0; i < w->seqs.n; i++)
        sum = cover_sum_add(sum, sum_of(stream, w, v[i].first, v[i].last));
    return sum;
}

struct cover_sum cover_stream_sum(const struct cover_stream *s)
{
    struct cover_sum sum = { 0 };
    for (uint32_t i = 0; i < s->n; i++)
        sum = cover_sum_add(sum, writer_sum(s->id, &s->writers[i]));
    return sum;
}

uint64_t cover_hash(const struct cover *c)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < c->n; i++)
        sum += cover_stream_sum(&c->streams[i]).hash;
    return sum;
}

bool cover_note(struct cover *c, const struct cover_run *r, uint64_t version)
{
    ASSERT(r->first >= 1);
    struct cover_stream *s = stream_get(c, r->stream);
    struct cover_writer *w = writer_get(s, r->origin, r->epoch, r->core);
    bool one = r->first == r->last; /* then it is new or it is not */
    struct cover_sum before = one ? (struct cover_sum){ 0 } : writer_sum(s->id, w);
    if (!interval_set_add(&w->seqs, r->first, r->last)) return false;
    struct cover_sum after = one ? sum_of(s->id, w, r->first, r->first) : writer_sum(s->id, w);
    s->sum.count += after.count - before.count;
    s->sum.hash += after.hash - before.hash;
    ASSERT(version >= w->changed);
    w->changed = version;
    return true;
}

/* -- looking ---------------------------------------------------------------------------------------------- */

bool cover_next(const struct cover *c, struct cover_iter *it, struct cover_run *out)
{
    if (it->stream >= c->n) return false;
    const struct cover_stream *s = &c->streams[it->stream];
    const struct cover_writer *w = &s->writers[it->writer];
    struct interval x = interval_set_all(&w->seqs)[it->interval];
    *out = (struct cover_run){ s->id, w->origin, w->epoch, w->core, x.first, x.last };
    if (++it->interval < w->seqs.n) return true;
    it->interval = 0;
    if (++it->writer < s->n) return true;
    it->writer = 0;
    it->stream++;
    return true;
}

uint64_t cover_stream_count(const struct cover_stream *s)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (__builtin_add_overflow(sum, interval_set_count(&s->writers[i].seqs), &sum)) return UINT64_MAX;
    return sum;
}

uint64_t cover_count(const struct cover *c)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < c->n; i++)
        if (__builtin_add_overflow(sum, cover_stream_count(&c->streams[i]), &sum)) return UINT64_MAX;
    return sum;
}

uint32_t cover_intervals(const struct cover *c)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < c->n; i++)
        for (uint32_t k = 0; k < c->streams[i].n; k++)
            sum += c->streams[i].writers[k].seqs.n;
    return sum;
}

size_t cover_bytes(const struct cover *c)
{
    size_t sum = c->cap * sizeof *c->streams;
    for (uint32_t i = 0; i < c->n; i++) {
        const struct cover_stream *s = &c->streams[i];
        sum += s->cap * sizeof *s->writers;
        for (uint32_t k = 0; k < s->n; k++)
            sum += s->writers[k].seqs.cap * sizeof(struct interval);
    }
    return sum;
}

/* -- bytes ------------------------------------------------------------------------------------------------ */

static uint32_t same_origin(const struct cover_stream *s, uint32_t from)
{
    uint32_t n = 1;
    while (from + n < s->n && s->writers[from + n].origin.u == s->writers[from].origin.u)
        n++;
    return n;
}

static void put_writer(const struct cover_writer *w, struct buf *out)
{
    const struct interval *v = interval_set_all(&w->seqs);
    buf_varint(out, w->epoch);
    buf_varint(out, w->core);
    buf_varint(out, w->seqs.n);
    for (uint32_t i = 0; i < w->seqs.n; i++) {
        buf_varint(out, v[i].first - (i ? v[i - 1].last + 2 : 1));
        buf_varint(out, v[i].last - v[i].first);
    }
}

static void put_stream(const struct cover_stream *s, struct buf *out)
{
    uint32_t origins = 0;
    for (uint32_t i = 0; i < s->n; i += same_origin(s, i))
        origins++;
    bytes_out_u64(out, s->id);
    buf_varint(out, origins);
    for (uint32_t i = 0; i < s->n;) {
        uint32_t n = same_origin(s, i);
        bytes_out_u64(out, s->writers[i].origin.u);
        buf_varint(out, n);
        for (; n > 0; n--)
            put_writer(&s->writers[i++], out);
    }
}

void cover_put(const struct cover *c, struct buf *out)
{
    buf_byte(out, COVER_VERSION);
    buf_varint(out, c->n);
    for (uint32_t i = 0; i < c->n; i++)
        put_stream(&c->streams[i], out);
}

enum { WRITER_LEAST = 5, ORIGIN_LEAST = 9 + WRITER_LEAST, STREAM_LEAST = 9 + ORIGIN_LEAST }; /* bytes */

struct getting {
    struct bytes_in *in;
    uint32_t left, max; /* intervals */
    struct cover *out;
};

static err_t malformed(const char *what) { return err_set(ERR_CORRUPT, "cover: %s", what); }

/* A varint in its shortest form. */
static uint64_t get_varint(struct bytes_in *in)
{
    const uint8_t *at = in->p;
    uint64_t v = bytes_in_varint(in);
    if (in->p - at > 1 && in->p[-1] == 0) in->bad = true;
    return v;
}

static uint32_t get_count(struct bytes_in *in, size_t least)
{
    uint64_t n = get_varint(in);
    if (n == 0 || n > bytes_in_left(in) / least) in->bad = true;
    return in->bad ? 0 : (uint32_t)MIN(n, (uint64_t)UINT32_MAX);
}

static err_t get_intervals(struct getting *g, struct interval_set *s)
{
    uint32_t n = get_count(g->in, 2);
    if (g->in->bad) return malformed("cut, or no intervals");
    if (n > g->left) return err_set(ERR_LIMIT, "cover: more than %u intervals", g->max);
    g->left -= n;
    uint64_t next = 1; /* 0: no number may follow */
    for (uint32_t i = 0; i < n; i++) {
        uint64_t first, last, gap = get_varint(g->in), length = get_varint(g->in);
        if (g->in->bad) return malformed("cut in an interval");
        if (next == 0 || __builtin_add_overflow(next, gap, &first) || __builtin_add_overflow(first, length, &last))
            return malformed("a number past 64 bits");
        interval_set_add(s, first, last);
        next = last >= UINT64_MAX - 1 ? 0 : last + 2;
    }
    return OK;
}

static err_t get_origin(struct getting *g, struct cover_stream *s, uint64_t *before)
{
    node_id origin = { bytes_in_u64(g->in) };
    uint32_t n = get_count(g->in, WRITER_LEAST);
    if (g->in->bad || origin.u <= *before) return malformed("cut, or its origins out of order");
    *before = origin.u;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t epoch = get_varint(g->in), core = get_varint(g->in);
        if (g->in->bad || core > UINT32_MAX) return malformed("cut in a writer, or a core past 32 bits");
        const struct cover_writer *end = i ? &s->writers[s->n - 1] : NULL;
        if (end && writer_cmp(end, origin, epoch, (uint32_t)core) >= 0) return malformed("its writers are out of order");
        struct interval_set seqs;
        interval_set_init(&seqs);
        err_t e = get_intervals(g, &seqs);
        if (e != OK) {
            interval_set_deinit(&seqs);
            return e;
        }
        writer_get(s, origin, epoch, (uint32_t)core)->seqs = seqs;
    }
    return OK;
}

static err_t get_cover(struct getting *g)
{
    uint8_t version = bytes_in_u8(g->in);
    if (g->in->bad) return malformed("cut");
    if (version != COVER_VERSION) return err_set(ERR_CORRUPT, "cover: of version %u", version);
    uint64_t n = get_varint(g->in), id_before = 0;
    if (g->in->bad || n > bytes_in_left(g->in) / STREAM_LEAST) return malformed("cut");
    for (uint64_t i = 0; i < n; i++) {
        uint64_t id = bytes_in_u64(g->in), origin_before = 0;
        uint32_t origins = get_count(g->in, ORIGIN_LEAST);
        if (g->in->bad || id <= id_before) return malformed("cut, or its streams out of order");
        id_before = id;
        struct cover_stream *s = stream_get(g->out, id);
        for (uint32_t k = 0; k < origins; k++)
            TRY(get_origin(g, s, &origin_before));
    }
    return OK;
}

err_t cover_get(struct bytes_in *in, uint32_t intervals_max, struct cover *out)
{
    ASSERT(cover_empty(out));
    struct getting g = { .in = in, .left = intervals_max, .max = intervals_max, .out = out };
    err_t e = get_cover(&g);
    if (e != OK) cover_deinit(out);
    return e;
}
