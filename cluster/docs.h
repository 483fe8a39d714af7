/* Small documents that every node of the cluster has: configurations of indexes, rules of retention, deletions. A node reads its own
 * copy; a write is acknowledged when a quorum has it synced.
 *
 * A document is known by kind and key, and has versions: (clock, node). The clock is a hybrid one (S. Kulkarni et al., "Logical physical
 * clocks", OPODIS 2014): wall milliseconds << 16, never less than one more than the greatest that was seen. Of two the greater is newer.
 *
 * Writing. Each document has a home: the first living node in the order of placement (placement_order) of its hash. The home
 *   1. asks every living node for what it has of the document, and merges it with its own;
 *   2. compares the newest version with the one that the writer had read: another one is a refusal (ERR_UNAVAILABLE, DOC_ANY never);
 *   3. makes the next version, syncs it, and sends it to every living node.
 * In steps 1 and 3 a quorum (map.h), the home included, must answer, or the write is ERR_UNAVAILABLE; after step 3 it may have
 * happened all the same. Those that answer late or not at all learn by comparison (below). A node that is alone asks nobody.
 *
 * Two homes may accept at once while nodes do not see each other. A record therefore is a set of versions, each with what its writer
 * knew: per node the greatest clock (a version vector; D. Parker et al., IEEE TSE 9(3), 1983). Merging is union without those that
 * another one knew: commutative, associative, idempotent, so all nodes end with the same. The newest counts; the others are conflicts,
 * kept and told (docs_list, GET /api/cluster/docs) until the next write, which knows all of them.
 *
 * Comparison. Every DOCS_EVERY_MS a node asks up to DOCS_PEERS living ones in turn, and all of them when the membership changed: it
 * sends sums of hashes by kind and bucket, is told the documents of those that differ, and fetches what is different. What was deleted
 * is kept as such for DOCS_GONE_DAYS; a node that was away for longer brings it back.
 *
 * Bytes. Catalog, key cluster/doc/<kind, 2 hex digits>/<key>, and the same between nodes (docs_wire.c):
 *   u8 1 | v versions, newest first, each u64 clock | u64 node | u8 deleted | v writers, each u64 node, u64 clock, ascending | s value
 *   METHOD_DOC_WRITE   u8 kind | s key | u64 clock | u64 node (read) | u8 deleted | s value   ->  u8 error | s why | u64 clock | u64 node
 *   METHOD_DOC_GET     v documents, each u8 kind | s key   ->  (u8 kind | s key | s record)*, those there are, as many as fit
 *   METHOD_DOC_PUT     u8 kind | s key | s record          ->
 *   METHOD_DOC_DIGEST  v sums, each u8 kind | u8 bucket | u64 sum  ->  v documents, each u8 kind | s key | u64 hash */
#ifndef CLUSTER_DOCS_H
#define CLUSTER_DOCS_H

#include "cluster/cluster.h"

enum doc_kind { /* the numbers are on disks */
    DOC_INDEX = 1, /* server/api/indexes.h */
    DOC_TEMPLATE,  /* likewise */
    DOC_KEEP,      /* server/api/rules.h */
    DOC_DELETE,    /* deletions over nodes */
    DOC_KINDS
};
const char *doc_kind_name(enum doc_kind k);

enum {
    DOCS_MAX = 65536,            /* of a node; more are refused */
    DOCS_BYTES_MAX = 512 << 20,  /* of all records */
    DOC_KEY_MAX = 512,
    DOC_VALUE_MAX = 1 << 20,
    DOC_VERSIONS_MAX = 8,        /* at once: the newest are kept */
    DOC_WRITERS_MAX = 16,        /* that a version knows: those of the greatest clocks */
    DOCS_EVERY_MS = 2000,
    DOCS_PEERS = 3,
    DOCS_GONE_DAYS = 7,
    DOC_CALL_MS = 1000,          /* for a node to answer */
};

struct doc_version {
    uint64_t clock; /* 0: there is none */
    node_id node;
};
/* Whatever there is. */
#define DOC_ANY ((struct doc_version){ UINT64_MAX, { 0 } })

/* The document, in the arena. ERR_NOT_FOUND: there is none, or it was deleted; *version says which (may be NULL). Any core. */
MUST_CHECK err_t docs_get(struct cluster *c, enum doc_kind kind, struct str key, struct arena *a, struct str *value,
                          struct doc_version *version) MAY_YIELD;
/* value.p NULL deletes. ERR_UNAVAILABLE: no quorum, or another version than `read` (see above); ERR_LIMIT, ERR_TOO_LARGE. Any core. */
MUST_CHECK err_t docs_put(struct cluster *c, enum doc_kind kind, struct str key, struct doc_version read, struct str value,
                          struct doc_version *made) MAY_YIELD;
/* What a node had before it kept documents becomes one, unless there is one: of the oldest version there can be, on this node, for
 * others to fetch. Core 0. */
MUST_CHECK err_t docs_adopt(struct cluster *c, enum doc_kind kind, struct str key, struct str value) MAY_YIELD;

/* Called on core 0 for every document of the kind that there is, once, and whenever it changed, at least once: with what counts now
 * (value.p NULL: deleted). Until it answers OK it is called again, every DOCS_EVERY_MS. It must not write documents. A write is
 * acknowledged when the living nodes' have answered, if they do in DOC_CALL_MS. */
typedef err_t docs_changed(void *ctx, struct str key, struct str value) MAY_YIELD;
void docs_on(struct cluster *c, enum doc_kind kind, docs_changed *fn, void *ctx) MAY_YIELD;
void docs_off(struct cluster *c, enum doc_kind kind) MAY_YIELD; /* no call runs when it returns */

/* The next version there can be, greater than all that were seen here. Core 0. */
struct doc_version docs_next(struct cluster *c);

/* One document from or to another node, now rather than by comparison. OK, too, when who gives has none. Core 0. */
MUST_CHECK err_t docs_fetch(struct cluster *c, node_id from, enum doc_kind kind, struct str key) MAY_YIELD;
MUST_CHECK err_t docs_give(struct cluster *c, node_id to, enum doc_kind kind, struct str key) MAY_YIELD;

/* For people: all of them, in the arena. Any core. */
struct doc_shown {
    enum doc_kind kind;
    struct str key;
    uint32_t n; /* versions, the one that counts first */
    struct { struct doc_version version; bool deleted; size_t bytes; } v[DOC_VERSIONS_MAX];
};
MUST_CHECK err_t docs_list(struct cluster *c, struct arena *a, struct doc_shown **out, uint32_t *n) MAY_YIELD;

/* -- for cluster/cluster.c ------------------------------------------------------------------------------------------ */
struct docs;
MUST_CHECK err_t docs_open(struct cluster *c, struct docs **out) MAY_YIELD; /* loads */
MUST_CHECK err_t docs_start(struct docs *d, struct scope *scope);           /* begins to compare */
void docs_now(struct docs *d);                                              /* the membership changed */
void docs_free(struct docs *d);
rpc_handler docs_on_write, docs_on_get, docs_on_put, docs_on_digest;

#endif
