/* A catalog that fails: a write that did not happen, a write whose answer is lost (it did happen), a read that fails. It lends
 * itself to chance (shares) and to loops (the nth operation). */
#ifndef TESTS_SIM_KV_FAULTY_H
#define TESTS_SIM_KV_FAULTY_H

#include "base/core/prng.h"
#include "storage/kv.h"

struct kv_faults {
    double write, answer, read;           /* shares */
    uint64_t nth;                         /* the nth operation fails, 1 = the first; 0 = none */
    bool nth_happens;                     /* if it is a write: it happens all the same */
    uint64_t ops;                         /* counted */
    uint64_t failed_writes, lost_answers, failed_reads; /* that fired */
    struct prng rnd;
};
/* Borrows both. Free with free(). */
struct kv *kv_faulty_new(struct kv *inner, struct kv_faults *f);

#endif
