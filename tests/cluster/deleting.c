#include "tests/cluster/deleting.h"

#include "base/core/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DOC_MAX = 2048 };

static bool names(const struct deleting *d, const struct row *r, uint32_t i)
{
    bool kind = r->kind == d->kind || (d->kind == K_SAMPLE && r->kind == K_HIST);
    return kind && i >= d->lo && i <= d->hi && i % SERIES % d->mod == d->rest;
}

struct deleting_verdict deleting_of(const struct world *w, uint32_t i, uint64_t began)
{
    struct deleting_verdict v = { 0 };
    const struct row *r = &w->m.rows[i];
    const struct request *q = &w->m.requests[r->request];
    bool open = r->request < w->nopen && w->open[r->request];
    for (uint32_t k = 0; k < w->ndeletings; k++) {
        const struct deleting *d = &w->deletings[k];
        if (d->tenant != q->tenant) continue;
        if (d->end && q->sent_first > d->end) {
            v.doubled |= open; /* by a node that had not heard of it, and then by one that had */
            continue;
        }
        bool before = q->outcome == ACKED && q->busy == 0 && q->sent_last < d->begin && !open;
        v.doubled |= !before;
        if (!names(d, r, i)) continue;
        v.may_go = true;
        v.gone |= before && d->end && d->end < began;
    }
    return v;
}

/* As delete_tasks.h keeps it. */
static struct str doc_of(const struct deleting *d, char *out)
{
    static const char *const config = "{\\\"version\\\": \\\"0.8\\\", \\\"index_id\\\": \\\"books\\\", \\\"doc_mapping\\\": {\\\"mode\\\": \\\"dynamic\\\"}}";
    struct str tenant = tenant_name(d->tenant);
    int at = snprintf(out, DOC_MAX, "{\"tenant\": \"%.*s\", \"state\": \"waiting\", \"start_ns\": %lld, \"end_ns\": %lld, ", (int)tenant.n, tenant.p,
                      (long long)row_time_ns(d->lo), (long long)row_time_ns(d->hi) + 1);
    char *to = out + at;
    size_t left = DOC_MAX - (size_t)at;
    switch (d->kind) {
    case K_SPAN: at += snprintf(to, left, "\"lang\": \"traceql\", \"query\": \"{ span.n >= %u && span.n <= %u }\"}", d->lo, d->hi); break;
    case K_LOG: at += snprintf(to, left, "\"lang\": \"quickwit\", \"index\": \"otel-logs-v0_9\", \"query\": \"attributes.n:[%u TO %u]\"}", d->lo, d->hi); break;
    case K_DOC:
        at += snprintf(to, left, "\"lang\": \"quickwit\", \"index\": \"books\", \"uid\": \"books\", \"config\": \"%s\", \"query\": \"n:[%u TO %u]\"}", config, d->lo, d->hi);
        break;
    default:
        at += snprintf(to, left, "\"lang\": \"series\", \"fields\": [\"{inst=~\\\"");
        for (uint32_t i = d->rest; i < SERIES; i += d->mod)
            at += snprintf(out + at, DOC_MAX - (size_t)at, "%si%u", i > d->rest ? "|" : "", i);
        at += snprintf(out + at, DOC_MAX - (size_t)at, "\\\"}\"]}");
    }
    ASSERT(at < DOC_MAX);
    return str_n(out, (size_t)at);
}

static uint32_t begin(struct world *w, struct prng *r)
{
    static const enum kind kinds[] = { K_SPAN, K_LOG, K_DOC, K_SAMPLE };
    if (w->ndeletings == w->deletings_cap) {
        w->deletings_cap = w->deletings_cap ? w->deletings_cap * 2 : 16;
        w->deletings = realloc(w->deletings, w->deletings_cap * sizeof *w->deletings);
        ASSERT(w->deletings != NULL);
    }
    struct deleting *d = &w->deletings[w->ndeletings];
    *d = (struct deleting){ .tenant = (uint32_t)prng_below(r, TENANTS), .kind = kinds[prng_below(r, 4)], .mod = 1, .begin = ++w->m.clock };
    uint32_t recent = w->m.nrows > 200 && prng_chance(r, 0.5) ? w->m.nrows - 200 : 0;
    d->lo = recent + (uint32_t)prng_below(r, w->m.nrows - recent + 1);
    d->hi = prng_chance(r, 0.3) ? 1000000 : d->lo + (uint32_t)prng_below(r, 300); /* rows to come, too */
    if (d->kind == K_SAMPLE) {
        d->mod = 1 + (uint32_t)prng_below(r, 4);
        d->rest = (uint32_t)prng_below(r, d->mod);
    }
    return w->ndeletings++;
}

static void delete_one(struct world *w, struct prng *r)
{
    char doc[DOC_MAX];
    unsigned node = (unsigned)prng_below(r, w->n);
    uint32_t i = begin(w, r);
    bool settled = false;
    err_t e = ask_delete(w, node, doc_of(&w->deletings[i], doc), &settled);
    if (e == OK && settled) w->deletings[i].end = ++w->m.clock;
    w->deleted_at = rt_now().ns;
    w->rep->deletions += e == OK && settled;
    w->rep->deletions_open += e != OK || !settled;
    if (w->verbose) fprintf(stderr, "%.3f delete %u by %u: %s %s %s\n", (double)rt_now().ns / 1e9, i, node, err_name(e), settled ? "settled" : "open", doc);
}

void deleter_fiber(void *arg)
{
    struct world *w = arg;
    struct prng r;
    prng_init(&r, prng_next(&w->deleting));
    while (!w->stop) {
        err_t e = fiber_sleep((int64_t)prng_below(&r, (uint64_t)w->delete_every_ns));
        (void)e;
        if (!w->stop && w->m.nrows) delete_one(w, &r);
    }
}

bool all_deleted(struct world *w, char *why, size_t n)
{
    for (unsigned node = 0; node < w->n; node++) {
        bool settled;
        if (ask_settled(w, node, &settled, why, n) != OK) {
            snprintf(why, n, "node %u does not answer: %s", node, err_detail());
            return false;
        }
        if (!settled) return false;
    }
    return true;
}
