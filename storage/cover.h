/* A cover: which batches, by name (storage/names.h). For each (stream, origin, epoch, core) the set of numbers, as intervals: what
 * is written in order is one interval, however much it is.
 *
 * Writers lie sorted below their stream, streams sorted by id: 56 bytes a writer, which hold its first interval, 16 bytes an
 * interval where there are more. Equal covers have equal bytes, whatever order the names came in. Memory is plain malloc: a cover
 * made from bytes of others is bounded by the intervals that cover_get is told to take.
 *
 * Sums. Two covers are compared by how many names they have of a stream and by a hash of those. The hash is a sum modulo 2^64 over
 * names, so it takes them in any order and grows by what is added: that of name number k of a writer is H(k) - H(k + 1), H being
 * XXH3-64 of the writer and the number. Over an interval all but the ends cancel out, so an interval costs as much as a name, and the
 * sum of any cover is found from its intervals alone. Different sets differ in the ends of their intervals, so in a sum of H of
 * which one at least is there once only: equal by accident with a probability of 2^-64. (Nobody outside chooses what is hashed: nodes
 * draw their ids and count.)
 *
 * A cover that is asked what is new in it is added to by cover_note alone, with versions that grow: it keeps the sum of each stream, and of
 * each writer the version that changed it last.
 *
 * Plain data of one owner; no function yields. */
#ifndef STORAGE_COVER_H
#define STORAGE_COVER_H

#include "base/core/bytes_in.h"
#include "base/core/bytes_out.h"
#include "base/core/interval_set.h"
#include "storage/names.h"

struct cover_writer {
    node_id origin;
    uint64_t epoch;
    uint32_t core;
    struct interval_set seqs; /* never empty */
    uint64_t changed;         /* by cover_note; else 0 */
};
struct cover_sum { uint64_t count, hash; };
struct cover_stream {
    uint64_t id;
    struct cover_sum sum;         /* by cover_note; else nothing */
    uint32_t n, cap;              /* never 0 */
    struct cover_writer *writers; /* by (origin, epoch, core) */
};
struct cover {
    uint32_t n, cap;
    struct cover_stream *streams; /* by id */
};

/* Numbers of one writer from first to last. */
struct cover_run {
    uint64_t stream;
    node_id origin;
    uint64_t epoch;
    uint32_t core;
    uint64_t first, last; /* 1 <= first <= last */
};

void cover_init(struct cover *c);
void cover_deinit(struct cover *c); /* empty afterwards */
/* False: it was there. */
bool cover_add(struct cover *c, const struct batch_name *n);
/* False: all of it was there. */
bool cover_add_run(struct cover *c, const struct cover_run *r);
/* The same in a cover of which no other function adds: with its sums, and a version that is not below those before. */
bool cover_note(struct cover *c, const struct cover_run *r, uint64_t version);
/* What writers have that changed after `version`, all of it, added to out. */
void cover_since(const struct cover *c, uint64_t stream, uint64_t version, struct cover *out);
bool cover_has_stream(const struct cover *c, uint64_t stream);
bool cover_has(const struct cover *c, const struct batch_name *n);
void cover_join(struct cover *to, const struct cover *from);       /* union */
bool cover_holds(const struct cover *c, const struct cover *all); /* is `all` a subset of c? */
/* What is in c and not in `but`, added to out, which is neither of them. */
void cover_minus(const struct cover *c, const struct cover *but, struct cover *out);
/* What is in c of those streams, added to out. */
void cover_pick(const struct cover *c, const uint64_t *streams, uint32_t n, struct cover *out);
void cover_drop_stream(struct cover *c, uint64_t stream);
static inline bool cover_empty(const struct cover *c) { return c->n == 0; }
uint64_t cover_count(const struct cover *c);     /* names in it; UINT64_MAX when more */
uint64_t cover_stream_count(const struct cover_stream *s);
uint32_t cover_intervals(const struct cover *c);
size_t cover_bytes(const struct cover *c);       /* memory that it holds */
/* Of all names, of those of a stream, of a run: on every machine the same. */
uint64_t cover_hash(const struct cover *c);
struct cover_sum cover_stream_sum(const struct cover_stream *s);
static inline bool cover_sum_eq(struct cover_sum a, struct cover_sum b) { return a.count == b.count && a.hash == b.hash; }
static inline struct cover_sum cover_sum_add(struct cover_sum a, struct cover_sum b)
{
    return (struct cover_sum){ a.count + b.count, a.hash + b.hash };
}

/* Walks intervals in the order of (stream, origin, epoch, core, number). From a zeroed iterator; the cover must not change. */
struct cover_iter { uint32_t stream, writer, interval; };
bool cover_next(const struct cover *c, struct cover_iter *it, struct cover_run *out);

/* Bytes, of the form specified in cover.c. */
void cover_put(const struct cover *c, struct buf *out);
/* Into an empty cover, which stays empty on an error. ERR_CORRUPT: malformed, or not the bytes that cover_put writes for what they
 * say. ERR_LIMIT: more than intervals_max. Bytes may follow. */
MUST_CHECK err_t cover_get(struct bytes_in *in, uint32_t intervals_max, struct cover *out);

#endif
