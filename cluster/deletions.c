/* Which deletions there are, what each core goes by, and the gate that requests pass. */
#include "cluster/deletions.h"

#include "base/core/assert.h"
#include "base/core/bytes_in.h"
#include "base/core/bytes_out.h"
#include "base/core/hash.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "cluster/deletions_int.h"
#include "cluster/docs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_VERSION = 1, RECORDS_MAX = DELETIONS_NODES_MAX };
static const struct str PREFIX = { "cluster/deletion/", 17 };

/* -- records ------------------------------------------------------------------------------------------------------ */
struct str deletion_record_key(struct arena *a, uint64_t id, node_id node)
{
    return arena_printf(a, STR_FMT "%016" PRIx64 "/%016" PRIx64, STR_ARG(PREFIX), id, node.u);
}

struct str deletion_doc_key(uint64_t id, struct arena *a)
{
    return arena_printf(a, "%016" PRIx64, id);
}

void deletion_record_put(uint64_t local, uint64_t generation, const struct cover *k, struct buf *out)
{
    buf_byte(out, RECORD_VERSION);
    bytes_out_u64(out, local);
    bytes_out_u64(out, generation);
    cover_put(k, out);
}

static err_t record_get(struct str value, uint64_t *local, uint64_t *generation, struct cover *k)
{
    struct bytes_in in = bytes_in_of(value);
    uint8_t version = bytes_in_u8(&in);
    *local = bytes_in_u64(&in);
    *generation = bytes_in_u64(&in);
    if (in.bad || version != RECORD_VERSION) return err_set(ERR_CORRUPT, "the record of a deletion is malformed");
    return cover_get(&in, UINT32_MAX, k);
}

static bool parse_hex(struct str text, uint64_t *out)
{
    uint8_t bytes[8];
    if (text.n != 16 || !str_from_hex(text, bytes, 8)) return false;
    *out = 0;
    for (unsigned i = 0; i < 8; i++)
        *out = *out << 8 | bytes[i];
    return true;
}

/* -- deletions and sets of them ------------------------------------------------------------------------------------ */
static struct deletion *deletion_new(uint64_t id, struct str doc)
{
    struct deletion *x = calloc(1, sizeof *x);
    ASSERT(x != NULL);
    atomic_init(&x->refs, 1);
    x->id = id;
    x->doc = str_n(str_dup(doc), doc.n);
    cover_init(&x->covered);
    return x;
}

static void deletion_put(struct deletion *x)
{
    if (atomic_fetch_sub(&x->refs, 1) != 1) return;
    cover_deinit(&x->covered);
    free(x->nodes);
    free((char *)(uintptr_t)x->doc.p);
    free(x);
}

bool deletion_knows(const struct deletion *x, node_id node)
{
    for (uint32_t i = 0; i < x->n; i++)
        if (x->nodes[i].u == node.u) return true;
    return false;
}

static void add_node(struct deletion *x, node_id node, const struct cover *k)
{
    uint32_t at = x->n;
    if (deletion_knows(x, node)) return;
    x->nodes = realloc(x->nodes, ((size_t)x->n + 1) * sizeof *x->nodes);
    ASSERT(x->nodes != NULL);
    for (; at > 0 && x->nodes[at - 1].u > node.u; at--)
        x->nodes[at] = x->nodes[at - 1];
    x->nodes[at] = node;
    x->n++;
    cover_join(&x->covered, k);
}

static struct deletion *deletion_copy(const struct deletion *was)
{
    struct deletion *x = deletion_new(was->id, was->doc);
    x->applied = was->applied;
    x->local = was->local;
    x->generation = was->generation;
    atomic_init(&x->finished, atomic_load(&was->finished));
    atomic_init(&x->over_since_ns, atomic_load(&was->over_since_ns));
    cover_join(&x->covered, &was->covered);
    x->nodes = malloc(((size_t)was->n + 1) * sizeof *x->nodes);
    ASSERT(x->nodes != NULL);
    if (was->n) memcpy(x->nodes, was->nodes, was->n * sizeof *x->nodes);
    x->n = was->n;
    return x;
}

struct deletion_set *deletion_set_get(struct deletion_set *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void deletion_set_put(struct deletion_set *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1) return;
    for (uint32_t i = 0; i < s->n; i++)
        deletion_put(s->v[i]);
    free(s->v);
    free(s);
}

struct deletion *deletion_find(const struct deletion_set *s, uint64_t id)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->v[i]->id == id) return s->v[i];
    return NULL;
}

bool deletion_is_over(const struct deletion_set *s, uint64_t id)
{
    for (uint32_t i = 0; i < s->nover; i++)
        if (s->over[i] == id) return true;
    return false;
}

static uint64_t digest_of(const struct deletion_set *s)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct deletion *x = s->v[i];
        if (!x->applied) continue;
        uint64_t id = hash_u64(x->id);
        sum += id;
        for (uint32_t k = 0; k < x->n; k++)
            sum += hash_u64(id + x->nodes[k].u);
    }
    return sum;
}

/* The set without the one of that id, and with `with` (taken; NULL: without). */
static struct deletion_set *set_edit(const struct deletion_set *was, uint64_t id, struct deletion *with)
{
    struct deletion_set *s = calloc(1, sizeof *s);
    ASSERT(s != NULL);
    atomic_init(&s->refs, 1);
    s->v = malloc(((size_t)(was ? was->n : 0) + 1) * sizeof(struct deletion *));
    ASSERT(s->v != NULL);
    for (uint32_t i = 0; was && i < was->n; i++) {
        if (was->v[i]->id > id && with) {
            s->v[s->n++] = with;
            with = NULL;
        }
        if (was->v[i]->id == id) continue;
        atomic_fetch_add(&was->v[i]->refs, 1);
        s->v[s->n++] = was->v[i];
    }
    if (with) s->v[s->n++] = with;
    if (was) memcpy(s->over, was->over, was->nover * sizeof *s->over);
    s->nover = was ? was->nover : 0;
    s->made = was ? was->made : 0;
    s->digest = digest_of(s);
    return s;
}

/* -- what each core goes by ------------------------------------------------------------------------------------------ */
static struct deletions_core *here(const struct deletions *d)
{
    return &d->core[rt_core()];
}

/* fn answers OK. Nothing stops half way: not the end of who asked for it either. */
static void on_all(const struct deletions *d, rt_call_fn *fn, void *arg) MAY_YIELD
{
    for (unsigned i = 0; i < d->c->cores; i++)
        while (rt_call(i, RT_REPLICATION, fn, arg) != OK)
            fiber_yield();
}

static err_t use_here(void *arg)
{
    const struct deletions *d = arg;
    struct deletions_core *dc = here(d);
    struct deletion_set *was = dc->set;
    if (was == d->set) return OK;
    dc->set = deletion_set_get(d->set);
    deletion_set_put(was);
    return OK;
}

/* Takes the set. With d->changing held. */
static void use(struct deletions *d, struct deletion_set *s) MAY_YIELD
{
    struct deletion_set *was = d->set;
    d->set = s;
    on_all(d, use_here, d);
    deletion_set_put(was);
    metric_set(M_DELETIONS, s->n);
}

struct deletion_set *deletions_set(const struct cluster *c)
{
    return deletion_set_get(here(c->deletions)->set);
}

uint64_t deletions_digest(const struct cluster *c)
{
    return here(c->deletions)->set->digest;
}

uint64_t deletions_made(const struct cluster *c)
{
    return here(c->deletions)->set->made;
}

struct pair_call {
    struct deletions *d;
    uint64_t theirs, ours;
};

static err_t pair_here(void *arg)
{
    const struct pair_call *p = arg;
    struct deletions_core *dc = here(p->d);
    uint32_t at = dc->npairs++ % DELETIONS_PAIRS;
    dc->pairs[at].theirs = p->theirs;
    dc->pairs[at].ours = p->ours;
    return OK;
}

void deletions_good(struct deletions *d, uint64_t theirs, uint64_t ours)
{
    struct pair_call p = { d, theirs, ours };
    on_all(d, pair_here, &p);
}

bool deletions_agree(const struct cluster *c, uint64_t digest)
{
    const struct deletions_core *dc = here(c->deletions);
    if (dc->set->digest == digest) return true;
    for (uint32_t i = 0; i < MIN(dc->npairs, (uint32_t)DELETIONS_PAIRS); i++)
        if (dc->pairs[i].theirs == digest && dc->pairs[i].ours == dc->set->digest) return true;
    return false;
}

/* -- the gate --------------------------------------------------------------------------------------------------------- */
static err_t shut_here(void *arg)
{
    const struct deletions *d = arg;
    event_reset(&here(d)->opened);
    gate_close(&here(d)->gate);
    return OK;
}

static err_t unshut_here(void *arg)
{
    const struct deletions *d = arg;
    gate_init(&here(d)->gate);
    event_signal(&here(d)->opened);
    return OK;
}

void deletions_shut(struct deletions *d) { on_all(d, shut_here, d); }
void deletions_unshut(struct deletions *d) { on_all(d, unshut_here, d); }

err_t deletions_enter(struct cluster *c, uint64_t *digest)
{
    struct deletions *d = c->deletions;
    while (!gate_enter(&here(d)->gate))
        TRY(event_wait(&here(d)->opened));
    if (atomic_load_explicit(&d->doubt, memory_order_relaxed)) {
        gate_leave(&here(d)->gate);
        return err_set(ERR_UNAVAILABLE, "this node does not know whether its catalog has a deletion: it asks again");
    }
    *digest = here(d)->set->digest;
    return OK;
}

void deletions_leave(struct cluster *c)
{
    gate_leave(&here(c->deletions)->gate);
}

/* -- late requests ---------------------------------------------------------------------------------------------------- */
struct late {
    struct deletions *d;
    struct arena a;
    struct batch *batches, **list;
    uint32_t n;
    uint64_t rows;
};

static bool is_late(const struct deletion *x, const struct batch_name *name)
{
    return x->applied && cover_has(&x->covered, name);
}

static err_t decode(struct late *l, struct request_reader *rd)
{
    l->batches = ARENA_ARRAY(&l->a, struct batch, (size_t)rd->left + 1);
    l->list = ARENA_ARRAY(&l->a, struct batch *, (size_t)rd->left + 1);
    TRY(arena_check(&l->a));
    while (rd->left > 0) {
        TRY(request_next(rd, &l->a, &l->d->c->memory, &l->batches[l->n]));
        l->list[l->n] = &l->batches[l->n];
        l->n++;
        TRY(rt_checkpoint());
    }
    return OK;
}

static err_t cut_all(struct late *l, const struct deletion *x, bool *concerns, uint64_t *rows)
{
    const struct deletion_hooks *h = &l->d->hooks;
    if (!atomic_load(&l->d->hooked)) return err_set(ERR_UNAVAILABLE, "this node is starting or stopping: it makes no deletions");
    for (uint32_t i = 0; i < l->n; i++)
        TRY(h->cut(h->ctx, x->doc, l->list[i], &l->a, &l->d->c->memory, concerns, rows));
    return OK;
}

/* Where D found the content it was forgotten, and what came late is of a time before. */
static void other_key(const struct deletion *x, struct request_head *head, struct store_request *put)
{
    const hash128 none = { 0, 0 };
    if (hash128_eq(head->key, none)) return;
    uint64_t both[] = { head->key.lo, head->key.hi, x->id };
    head->key = hash128_of(str_n(both, sizeof both));
    put->upto = MAX(put->upto, x->generation);
}

static err_t cut_late(struct late *l, const struct deletion_set *set, struct request_head *head, struct store_request *put)
{
    put->was = head->key;
    for (uint32_t i = 0; i < set->n; i++) {
        const struct deletion *x = set->v[i];
        bool concerns = false;
        if (!is_late(x, &put->name)) continue;
        TRY(cut_all(l, x, &concerns, &l->rows));
        if (concerns) other_key(x, head, put);
    }
    /* Deletions that it comes after hide what came before them. */
    for (uint32_t i = 0; i < set->n; i++) {
        const struct deletion *x = set->v[i];
        bool concerns = false;
        if (!x->applied || is_late(x, &put->name) || x->generation <= put->after || x->generation >= put->upto) continue;
        TRY(cut_all(l, x, &concerns, NULL));
        if (concerns) put->after = x->generation;
    }
    return OK;
}

static err_t put_rest(struct late *l, const struct deletion_set *set, const struct store_request *put, struct request_reader *rd)
{
    struct request_head head = rd->head;
    struct store_request rest = { .name = put->name };
    struct buf bytes;
    TRY(decode(l, rd));
    TRY(cut_late(l, set, &head, &rest));
    head.nbatches = l->n;
    buf_init(&bytes, CALL_BYTES_MAX, &l->d->c->memory);
    request_encode(&head, l->list, NULL, &bytes);
    rest.bytes = buf_view(&bytes);
    err_t e = buf_check(&bytes);
    if (e == OK) e = store_put(l->d->c->o.store, &rest);
    if (e == OK) {
        metric_add(M_DELETIONS_LATE, 1);
        log_info("deletion.late", "name=%016" PRIx64 "/%" PRIu64 "/%u/%" PRIu64 " rows=%" PRIu64, put->name.origin.u, put->name.epoch, put->name.core, put->name.seq, l->rows);
        metric_add(M_DELETIONS_LATE_ROWS, (int64_t)l->rows);
    }
    struct err_record why = *err_record();
    buf_deinit(&bytes);
    *err_record() = why;
    return e;
}

static err_t put_late(struct deletions *d, const struct deletion_set *set, const struct store_request *put)
{
    struct late l = { .d = d };
    struct request_reader rd;
    TRY(request_open(put->bytes, &rd));
    if (rd.left == 0) return store_put(d->c->o.store, put); /* an alias has no rows */
    if (rd.left > put->bytes.n) return err_set(ERR_CORRUPT, "a request of %u batches", rd.left);
    arena_init(&l.a, &d->c->memory);
    err_t e = put_rest(&l, set, put, &rd);
    struct err_record why = *err_record();
    for (uint32_t i = 0; i < l.n; i++)
        batch_release(&l.batches[i]);
    arena_deinit(&l.a);
    *err_record() = why;
    return e;
}

/* Inside the gate. */
static err_t put_agreed(struct deletions *d, const struct store_request *put) MAY_YIELD
{
    struct deletion_set *set = deletion_set_get(here(d)->set);
    uint32_t i = 0;
    while (i < set->n && !is_late(set->v[i], &put->name))
        i++;
    err_t e = i == set->n ? store_put(d->c->o.store, put) : put_late(d, set, put);
    struct err_record why = *err_record();
    deletion_set_put(set);
    *err_record() = why;
    return e;
}

err_t deletions_put(struct cluster *c, node_id from, uint64_t digest, const struct store_request *put, bool *differ)
{
    uint64_t ours;
    *differ = false;
    for (unsigned tries = 0;; tries++) {
        TRY(deletions_enter(c, &ours));
        if (deletions_agree(c, digest)) {
            err_t e = put_agreed(c->deletions, put);
            deletions_leave(c);
            return e;
        }
        deletions_leave(c);
        if (tries > 0) break;
        TRY(deletions_meet(c, from, digest));
    }
    metric_add(M_DELETIONS_DIFFER, 1);
    *differ = true;
    return OK;
}

/* -- changes ----------------------------------------------------------------------------------------------------------- */
static err_t write_record(struct deletions *d, uint64_t id, node_id node, const struct cover *k)
{
    struct kv *kv = store_kv(d->c->o.store);
    struct buf value;
    struct arena a;
    arena_init(&a, NULL);
    buf_init(&value, CALL_BYTES_MAX, NULL);
    deletion_record_put(0, 0, k, &value);
    err_t e = buf_check(&value);
    if (e == OK) e = kv->write(kv, &(struct kv_op){ deletion_record_key(&a, id, node), buf_view(&value) }, 1);
    struct err_record why = *err_record();
    buf_deinit(&value);
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

err_t deletions_learn(struct deletions *d, uint64_t id, node_id node, const struct cover *k)
{
    ASSERT(rt_core() == 0);
    TRY(sem_take(&d->changing, 1));
    const struct deletion *was = deletion_find(d->set, id);
    err_t e = OK;
    if (was && node.u != d->c->self.u && !deletion_knows(was, node) && was->n < DELETIONS_NODES_MAX) {
        e = write_record(d, id, node, k);
        if (e == OK) {
            struct deletion *now = deletion_copy(was);
            add_node(now, node, k);
            use(d, set_edit(d->set, id, now));
        }
    }
    sem_give(&d->changing, 1);
    return e;
}

void deletions_applied(struct deletions *d, uint64_t id, uint64_t local, uint64_t generation, const struct cover *k)
{
    while (sem_take(&d->changing, 1) != OK)
        fiber_yield();
    const struct deletion *was = deletion_find(d->set, id);
    if (was) {
        struct deletion *now = deletion_copy(was);
        now->applied = true;
        now->local = local;
        now->generation = generation;
        add_node(now, d->c->self, k);
        struct deletion_set *s = set_edit(d->set, id, now);
        s->made++;
        use(d, s);
    }
    sem_give(&d->changing, 1);
}

err_t deletions_look(struct deletions *d)
{
    struct deletion_set *set = deletion_set_get(d->set);
    err_t e = OK;
    for (uint32_t i = 0; e == OK && i < set->n; i++) {
        struct deletion *x = set->v[i];
        bool done = false;
        if (!x->applied || atomic_load(&x->finished)) continue;
        e = store_delete_done(d->c->o.store, x->local, &done);
        if (e == OK && done) atomic_store(&x->finished, true);
    }
    /* One that was copied meanwhile is looked at the next time. */
    deletion_set_put(set);
    return e;
}

struct finished_call {
    struct cluster *c;
    uint64_t *ids;
    uint32_t n;
};

static err_t finished_here(void *arg)
{
    struct finished_call *f = arg;
    struct deletions *d = f->c->deletions;
    TRY(deletions_look(d));
    f->ids = malloc(((size_t)d->set->n + 1) * sizeof *f->ids);
    ASSERT(f->ids != NULL);
    for (uint32_t i = 0; i < d->set->n; i++)
        if (atomic_load(&d->set->v[i]->finished)) f->ids[f->n++] = d->set->v[i]->id;
    return OK;
}

void deletions_finished(struct cluster *c, uint64_t **ids, uint32_t *n)
{
    struct finished_call f = { .c = c };
    if (here(c->deletions)->set->n > 0 && rt_call(0, RT_QUERY, finished_here, &f) != OK) f.n = 0;
    *ids = f.ids;
    *n = f.n;
}

struct done_call {
    struct cluster *c;
    uint32_t open;
};

static err_t done_here(void *arg)
{
    struct done_call *x = arg;
    x->open = store_deletes_open(x->c->o.store);
    return OK;
}

err_t deletions_all_done(struct cluster *c)
{
    struct done_call x = { c, 0 };
    TRY(rt_call(0, RT_MAINTENANCE, done_here, &x));
    return x.open == 0 ? OK : err_set(ERR_UNAVAILABLE, "%u deletions are under way on this node", x.open);
}

/* -- documents ------------------------------------------------------------------------------------------------------------ */
static err_t load_records(struct deletions *d, struct deletion *x, struct arena *a)
{
    struct kv *kv = store_kv(d->c->o.store);
    struct kv_item *items;
    size_t n;
    TRY(kv->list(kv, arena_printf(a, STR_FMT "%016" PRIx64 "/", STR_ARG(PREFIX), x->id), RECORDS_MAX, a, &items, &n));
    for (size_t i = 0; i < n; i++) {
        struct cover k;
        node_id node;
        uint64_t local, generation;
        cover_init(&k);
        if (!parse_hex(str_sub(items[i].key, items[i].key.n - 16, items[i].key.n), &node.u))
            return err_set(ERR_CORRUPT, "catalog: " STR_FMT " is malformed", STR_ARG(items[i].key));
        TRY(record_get(items[i].value, &local, &generation, &k));
        add_node(x, node, &k);
        cover_deinit(&k);
        if (node.u != d->c->self.u) continue;
        x->applied = true;
        x->local = local;
        x->generation = generation;
    }
    return OK;
}

static err_t came(struct deletions *d, uint64_t id, struct str doc)
{
    struct arena a;
    if (deletion_find(d->set, id)) return OK;
    struct deletion *x = deletion_new(id, doc);
    arena_init(&a, NULL);
    err_t e = load_records(d, x, &a);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    if (e == OK) use(d, set_edit(d->set, id, x));
    else deletion_put(x);
    return e;
}

static err_t drop_records(struct deletions *d, struct str prefix, bool orphans_only)
{
    struct kv *kv = store_kv(d->c->o.store);
    struct kv_item *items;
    struct arena a;
    size_t n = 0, nops = 0;
    arena_init(&a, NULL);
    err_t e = kv->list(kv, prefix, SIZE_MAX, &a, &items, &n);
    struct kv_op *ops = e == OK ? ARENA_ARRAY(&a, struct kv_op, n + 1) : NULL;
    for (size_t i = 0; e == OK && i < n; i++) {
        uint64_t id;
        bool live = parse_hex(str_sub(items[i].key, PREFIX.n, PREFIX.n + 16), &id) && deletion_find(d->set, id);
        if (!orphans_only || !live) ops[nops++] = (struct kv_op){ items[i].key, STR_NONE };
    }
    if (e == OK && nops) e = kv->write(kv, ops, nops);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

/* It is over: no late request of it comes any more. */
static err_t went(struct deletions *d, uint64_t id)
{
    char prefix[48];
    if (deletion_is_over(d->set, id)) return OK;
    snprintf(prefix, sizeof prefix, STR_FMT "%016" PRIx64 "/", STR_ARG(PREFIX), id);
    bool live = deletion_find(d->set, id) != NULL;
    if (live) TRY(drop_records(d, str_of(prefix), false));
    struct deletion_set *s = set_edit(d->set, id, NULL);
    if (s->nover == DELETIONS_OVER_MAX) memmove(s->over, s->over + 1, --s->nover * sizeof *s->over);
    s->over[s->nover++] = id;
    use(d, s);
    metric_add(M_DELETIONS_OVER, live);
    return OK;
}

static err_t doc_changed(void *ctx, struct str key, struct str value)
{
    struct deletions *d = ctx;
    uint64_t id;
    if (!parse_hex(key, &id)) {
        log_warn("deletion.doc", "key=" STR_FMT " error=\"its key is no number\"", STR_ARG(key));
        return OK;
    }
    TRY(sem_take(&d->changing, 1));
    err_t e = value.p ? came(d, id, value) : went(d, id);
    if (d->opened == OK) d->opened = e;
    sem_give(&d->changing, 1);
    event_signal(&d->wake);
    return e;
}

/* -- at start and at the end ------------------------------------------------------------------------------------------------ */
err_t deletions_open(struct cluster *c, struct deletions **out)
{
    struct deletions *d = calloc(1, sizeof *d);
    ASSERT(d != NULL);
    d->c = c;
    d->core = calloc(c->cores, sizeof *d->core);
    ASSERT(d->core != NULL);
    for (unsigned i = 0; i < c->cores; i++) {
        gate_init(&d->core[i].gate);
        event_init(&d->core[i].opened);
    }
    rt_sem_init(&d->changing, 1);
    rt_sem_init(&d->meeting, 1);
    event_init(&d->wake);
    event_init(&d->rested);
    *out = d;
    use(d, set_edit(NULL, 0, NULL));
    docs_on(c, DOC_DELETE, doc_changed, d);
    TRY(d->opened);
    return drop_records(d, PREFIX, true);
}

void deletions_free(struct deletions *d)
{
    if (!d) return;
    for (unsigned i = 0; i < d->c->cores; i++)
        deletion_set_put(d->core[i].set);
    deletion_set_put(d->set);
    free(d->core);
    free(d);
}
