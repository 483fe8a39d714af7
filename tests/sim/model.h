/* What the simulated clients sent, and what they were told: the truth that the store is checked against. It lives outside
 * the simulated node and survives its crashes.
 *
 * Every row has a number of its own; all its fields follow from the number, so that a reader knows from the
 * row alone whose it is and what it must look like. A request is sent again, the same bytes under the same
 * content hash, until it is acked. */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include "base/core/prng.h"
#include "storage/store_names.h"
#include "storage/view.h"

#include <pthread.h>

enum kind { K_SPAN, K_LOG, K_DOC, K_SAMPLE, K_EXEMPLAR, K_HIST, K_COUNT };
enum { TENANTS = 3, SERIES = 23, NAMES = 2 };

enum outcome { NEW, UNKNOWN, ACKED }; /* UNKNOWN: sent, no good answer (yet) */
/* What somebody who keeps a record is told of; `which` counts requests, deletions or rules of retention. */
enum model_event { REQUEST_BEGUN, REQUEST_ENDED, REQUEST_ACKED, DELETION_BEGUN, DELETION_ENDED, DELETION_ACKED, KEEP_BEGUN, KEEP_ACKED };

struct request {
    uint32_t first;              /* its rows are [first, first + sum of n) in the order of kinds */
    uint32_t n[K_COUNT];
    uint32_t tenant;
    hash128 content;
    enum outcome outcome;
    int64_t acked_ns;            /* wall clock */
    uint32_t busy;               /* clients of this life that have it on its way */
    uint32_t sent;               /* times */
    uint32_t named;              /* bit v: acked under name v */
    uint64_t sent_first, sent_last; /* when by the model's clock: the first time, and the end of the last */
};
struct row {
    uint32_t request;
    uint8_t kind;
    uint8_t seen;                /* of the check that runs */
};
struct model {
    pthread_mutex_t lock;        /* on the real runtime cores are threads */
    struct prng rnd;             /* what is sent */
    struct request *requests;
    uint32_t nrequests, requests_cap;
    struct row *rows;
    uint32_t nrows, rows_cap;
    uint64_t acked, checks;
    bool rot;                    /* the disk was given flipped bits: acked rows may be missing, all else holds */
    uint64_t rows_rotten;        /* acked rows missing at the last check */
    uint32_t local;              /* 1 + the tenant whose rows never go to the bucket; 0 = none */
    bool room, recovered;        /* its rows may have been deleted for room; the disk was lost, and they are gone */
    bool jumped;                 /* the wall clock left the ten minutes in which retries are known: they may count again */
    int64_t retention_ns;        /* rows older than this may be missing; 0 = none */
    uint64_t clock;              /* of deletions' begins and ends */
    struct deletion *deletions;  /* deletions.h */
    uint32_t ndeletions, deletions_cap;
    uint64_t deleted;            /* of these acked */
    struct keeping *keeps;       /* keeping.h */
    uint32_t nkeeps, keeps_cap;
    int64_t clock_off_ns;        /* the wall clock against the right one */
    void (*noted)(enum model_event what, uint32_t which); /* or NULL */
    struct stream named;         /* n > 0: some requests come under names of other nodes, of this stream */
    uint64_t lost_reads;         /* checks that were told of segments that cannot be read: rows of theirs may be missing */
};

void model_init(struct model *m, uint64_t seed);
void model_free(struct model *m);
/* The first n requests, none of them sent yet; `seed` for those to come. */
void model_copy(struct model *to, const struct model *from, uint32_t n, uint64_t seed);
/* Picks a request acked lately (now and then: a client that has not heard the answer), or one without an answer (with
 * probability `again`; mostly one that nobody has on its way), or makes one. It is busy from here on. */
uint32_t model_begin(struct model *m, struct prng *r, double again);
void model_end(struct model *m, uint32_t request, bool acked);
/* The same request is sent once more: between these it is busy. */
void model_again(struct model *m, uint32_t request);
bool model_all_acked(const struct model *m);
struct str tenant_name(uint32_t tenant);

struct built { /* a request as batches */
    struct arena a;
    struct batch batches[K_COUNT], *p[K_COUNT];
    uint32_t n;
};
void model_build(struct model *m, uint32_t request, struct built *b); /* counts as sent */
void model_built_free(struct built *b);
/* Builds it and sends it: as it is, or where there are names under one of the NAMES that it may have, as bytes that are decoded here or there.
 * Which of these follows from how often it was sent. */
MUST_CHECK err_t model_send(struct model *m, struct store *s, uint32_t request) MAY_YIELD;
/* From now on some come under names. Each start of a store makes the stream known. */
void model_name_some(struct model *m);
struct batch_name model_name(const struct model *m, uint32_t request, uint32_t which);
/* Which request has this name? UINT32_MAX: none. */
uint32_t model_named(const struct model *m, const struct batch_name *n);
/* Reads requests out of the logs, as another node would; each must be one of the model's. Tells the store now and then that others have
 * all of them. */
MUST_CHECK err_t model_pull(struct model *m, struct store *s, struct prng *r) MAY_YIELD;

/* On every core, every tenant and signal: reads all there is.
 * acked_at: requests acked before (a copy of their outcomes, or NULL for the present ones). Aborts with a
 * message on a row that is missing, twice there, changed, or another tenant's. */
MUST_CHECK err_t model_check(struct model *m, struct store *s, const uint8_t *acked_at, uint32_t nacked) MAY_YIELD;

/* All rows of a tenant that the view shows, each as often as it does: malloc'd numbers, NULL on an error. Aborts with a message on one
 * that was never sent, is changed, or another tenant's. *lost: something of it cannot be read, and is missing. */
MUST_CHECK err_t model_read(struct model *m, struct view *v, uint32_t tenant, uint32_t **rows, uint32_t *n, bool *lost) MAY_YIELD;

/* One byte a request: is it acked? malloc'd. */
uint8_t *model_acked(struct model *m, uint32_t *n);

/* The fields of row i. */
const struct nhist *row_hist(uint64_t i, struct arena *a);
int64_t row_start_ms(uint64_t i); /* of a sample; ST_NONE for most */
void row_trace_id(uint64_t i, uint8_t out[16]);
int64_t row_time_ns(uint64_t i);
_Noreturn void wrong(const char *fmt, ...) PRINTF(1, 2);
extern uint64_t current_seed;
extern char current_place[160]; /* where in the run of the seed; may be empty */

#endif
