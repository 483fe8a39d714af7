/* Deletions among the simulator's work, and what they allow: of a request that was acked before a deletion began and not sent
 * since, the rows that it names are gone for good once it was acked, and all others stay. A request that a deletion came
 * between two sendings of may be there more than once, or not: the store forgets retries then (store_delete.h). One that failed or
 * met a crash may have happened. */
#ifndef TESTS_SIM_DELETIONS_H
#define TESTS_SIM_DELETIONS_H

#include "tests/sim/model.h"

struct deletion {
    uint32_t tenant;
    enum kind kind;
    uint32_t mod, rest;  /* rows whose number % mod == rest */
    uint64_t begin, end; /* of the model's clock; end 0: under way */
    bool acked;
};

/* One deletion, picked at random; from a fiber of core 0. False when it failed. */
bool deletion_run(struct model *m, struct store *s, struct prng *r) MAY_YIELD;
/* Those that were under way at a crash, and the requests too. */
void deletions_crashed(struct model *m);

/* What the deletions say of row i of a check that began at `began`, at its end. */
struct deletion_verdict {
    bool gone;    /* it must not be there */
    bool may_go;  /* it may not be there */
    bool doubled; /* it may be there more than once */
};
struct deletion_verdict deletion_of(const struct model *m, uint32_t i, uint64_t began);

#endif
