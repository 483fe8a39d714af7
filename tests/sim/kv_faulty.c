#include "tests/sim/kv_faulty.h"

#include "base/core/assert.h"

#include <stdlib.h>

struct faulty {
    struct kv kv;
    struct kv *inner;
    struct kv_faults *f;
};

static struct faulty *of(struct kv *kv)
{
    return CONTAINER_OF(kv, struct faulty, kv);
}

static bool fires(struct kv_faults *f, double share)
{
    return share > 0 && prng_chance(&f->rnd, share);
}

static err_t failing_write(struct kv *kv, const struct kv_op *ops, size_t n)
{
    struct kv_faults *f = of(kv)->f;
    bool nth = ++f->ops == f->nth;
    if ((nth && !f->nth_happens) || fires(f, f->write)) {
        f->failed_writes++;
        return err_set(ERR_IO, "catalog: injected: a write of %zu keys did not happen", n);
    }
    TRY(of(kv)->inner->write(of(kv)->inner, ops, n));
    if (!nth && !fires(f, f->answer)) return OK;
    f->lost_answers++;
    return err_set(ERR_IO, "catalog: injected: the answer of a write of %zu keys is lost", n);
}

static err_t before_read(struct kv_faults *f)
{
    if (++f->ops != f->nth && !fires(f, f->read)) return OK;
    f->failed_reads++;
    return err_set(ERR_IO, "catalog: injected: a read failed");
}

static err_t failing_get(struct kv *kv, struct str key, struct arena *a, struct str *value)
{
    TRY(before_read(of(kv)->f));
    return of(kv)->inner->get(of(kv)->inner, key, a, value);
}

static err_t failing_list(struct kv *kv, struct str prefix, size_t max, struct arena *a, struct kv_item **items, size_t *count)
{
    TRY(before_read(of(kv)->f));
    return of(kv)->inner->list(of(kv)->inner, prefix, max, a, items, count);
}

static void leave_open(struct kv *kv)
{
    (void)kv;
}

struct kv *kv_faulty_new(struct kv *inner, struct kv_faults *f)
{
    struct faulty *k = calloc(1, sizeof *k);
    ASSERT(k != NULL);
    *k = (struct faulty){ { failing_write, failing_get, failing_list, leave_open }, inner, f };
    return &k->kv;
}
