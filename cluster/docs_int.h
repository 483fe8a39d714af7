/* The inside of a node's documents, for cluster/docs*.c only. All of it is core 0's. */
#ifndef CLUSTER_DOCS_INT_H
#define CLUSTER_DOCS_INT_H

#include "cluster/cluster_int.h"
#include "cluster/docs_wire.h"

enum { DOC_BUCKETS = 16, DOC_FETCH_BYTES = 8 << 20, DOC_FETCH_MAX = 256 };

struct doc_entry { /* what is known of one without reading it */
    enum doc_kind kind;
    struct str key;             /* owned */
    struct doc_version version; /* that counts */
    uint64_t hash;              /* of kind, key and record */
    size_t bytes;
    uint32_t versions;
    bool deleted, told;         /* told: docs_changed answered OK */
};

struct docs {
    struct cluster *c;
    struct doc_entry **v; /* by kind and key */
    uint32_t n, cap;
    size_t bytes;
    uint64_t clock;       /* the greatest seen */
    struct {
        docs_changed *fn;
        void *ctx;
    } on[DOC_KINDS];
    struct sem changing;  /* 1: who holds it may change the copy, and tells of it */
    struct sem writing;   /* 1: of this node as a home */
    struct event wake;
    bool all;             /* the next round asks every node */
    uint32_t turn;        /* whom it asks first */
};

/* NULL: there is none. Lent until the next yield. */
struct doc_entry *docs_find(const struct docs *d, enum doc_kind kind, struct str key);
uint32_t doc_bucket(const struct doc_entry *e);
/* Is it a deletion so old that nobody needs to hear of it? */
bool doc_is_over(const struct doc_entry *e);
MUST_CHECK err_t doc_check(enum doc_kind kind, struct str key);
void doc_put_name(struct buf *out, enum doc_kind kind, struct str key);
MUST_CHECK err_t doc_get_name(struct bytes_in *in, enum doc_kind *kind, struct str *key);
/* What there is of it, or nothing (n = 0). */
MUST_CHECK err_t docs_read(struct cluster *c, enum doc_kind kind, struct str key, struct arena *a, struct doc_set *out) MAY_YIELD;
/* Into the copy, synced and told. */
MUST_CHECK err_t docs_merge(struct docs *d, enum doc_kind kind, struct str key, const struct doc_set *more) MAY_YIELD;
/* The records of an answer of METHOD_DOC_GET, merged; how many. */
MUST_CHECK err_t docs_merge_all(struct docs *d, struct str answer, uint32_t *n) MAY_YIELD;
/* Tells whom it has not told yet. */
void docs_tell(struct docs *d) MAY_YIELD;
/* Takes back what was deleted long ago. */
void docs_forget(struct docs *d) MAY_YIELD;

#endif
