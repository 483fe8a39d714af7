/* Requests under names (names.h): how nodes hold the same requests, know which, and give each other what is missing.
 *
 * Coverage of a node: the names whose rows are durable and visible on it. It only grows: retention and deletions take rows, not
 * names. A name is in one log frame, and in it alone: the frame, its rows and the name come and go together.
 *
 * Invariants
 *  1. Coverage is at every moment a subset of what is durable and visible here, and holds everything that was acked here
 *     under a name. After a restart it is what the catalog says of sealed generations (written in the batch that seals them)
 *     and what the logs of the others have.
 *  2. A name is stored once: by who claims it first; another one that brings it waits for that, or finds it covered.
 *  3. Content is stored once as far as it is remembered (store.h, invariant 4; only within a stream, and from when it came here): the second name of it becomes
 *     an alias, a frame without rows that names the first. An alias is taken from another node only where the first is covered, so
 *     that what is covered under an alias is here, too.
 *  4. What lacks rows is not covered: a frame that is rotten, or a series whose definition is.
 *
 * Deletions. One made on a node takes rows that were visible there when it was made: all of its coverage at that moment, and
 * nothing that comes later. A request that comes by its name afterwards (written late, or pulled) is of a later generation,
 * no tombstone or mark touches its rows, and content that was deleted is stored again. So whoever deletes on many nodes first
 * has each of them cover what all of them cover together (store_cover, store_pull, store_cover_wait), then deletes on each.
 *
 * A core of a node is two writers: its own number names what store_name_next is asked for; that plus the number of cores what
 * comes without a name. Any core may call these. Names of a writer on core c of any node are kept by core c modulo the number of cores here. */
#ifndef STORAGE_STORE_NAMES_H
#define STORAGE_STORE_NAMES_H

#include "storage/cover.h"
#include "storage/store.h"

enum { STORE_INTERVALS_MAX = 1 << 20 }; /* of a node's coverage; puts that would add to more are refused */

struct store_request {
    struct batch_name name;       /* origin 0: the store gives it one, of the stream name.stream (0: of this node alone) */
    struct str bytes;             /* as request_encode writes it without metric_encode_opts, under that name; empty: encoded here */
    struct batch *const *batches; /* the same decoded; NULL: decoded here, and nothing in it is trusted */
    uint32_t n;
    /* Of a request that comes late, after deletions which it should have come before (cluster/deletions.h): its content as it was. When that was acked
     * here in a generation after `after` and up to `upto`, it is known, though it is forgotten for others. Zero: of none. */
    hash128 was;
    uint64_t after, upto;
};
/* Logs, inserts and makes durable on the running core, as store_append does, which is this without a name, to the stream of this
 * node alone. Borrowed until it returns. OK, too, when the name is covered already, or its content: nothing is stored twice.
 * The stream is one of store_stream_add. Errors of store_append, and ERR_INVALID (of another name than the bytes', of
 * no stream that is known, of this node and epoch but not by store_name_next), ERR_CORRUPT (bytes), ERR_NOT_FOUND (bytes of an alias whose first name is not covered here),
 * ERR_LIMIT (STORE_INTERVALS_MAX). */
MUST_CHECK err_t store_put(struct store *s, const struct store_request *r) MAY_YIELD;
/* Is content (request_key) remembered in a stream, or on its way into it? */
enum store_known { STORE_UNKNOWN, STORE_COMING, STORE_KNOWN };
MUST_CHECK err_t store_knows(struct store *s, hash128 content, uint64_t stream, enum store_known *out) MAY_YIELD;
/* The next name of the running core for a stream. A number that was given and never stored is a gap, which does no harm but
 * the room of an interval. */
void store_name_next(struct store *s, uint64_t stream, struct batch_name *out);

/* All names that store_name_next gave in this life, on all cores, added to out. */
MUST_CHECK err_t store_names_given(struct store *s, struct cover *out) MAY_YIELD;

/* What is covered, of those streams (NULL: of all), added to out. What is covered when it is called is in it. */
MUST_CHECK err_t store_cover(struct store *s, const uint64_t *streams, uint32_t n, struct cover *out) MAY_YIELD;
/* How much is covered of each stream that anything is covered of: sums as in cover.h, which cost nothing but the asking. Kept with each name that
 * comes to be covered, found from the intervals at start; builds that check much (ASSERT_HOT) find them from the intervals
 * every time they are asked for, and abort where they differ.
 *
 * Versions. Each name that comes to be covered has a version of this life of the store (store_epoch), which grows. All that has the version
 * told, or an older one, is in what is told with it; what is newer may be. */
struct stream_sum {
    uint64_t stream;
    struct cover_sum sum;
};
struct store_sums {
    uint32_t n;
    struct stream_sum *v; /* by stream; malloc'd */
    uint64_t version;
};
/* Into an empty one. */
MUST_CHECK err_t store_sums(struct store *s, struct store_sums *out) MAY_YIELD;
void store_sums_deinit(struct store_sums *v);
/* NULL: nothing is covered of it. */
const struct stream_sum *store_sums_find(const struct store_sums *v, uint64_t stream);
/* What became covered of these streams after the versions, and perhaps more, added to out: all that writers have of whom anything did. */
struct stream_since { uint64_t stream, version; };
MUST_CHECK err_t store_cover_since(struct store *s, const struct stream_since *streams, uint32_t n, struct cover *out, uint64_t *version) MAY_YIELD;
/* Until all of `need` is covered. ERR_TIMEOUT at the deadline. */
MUST_CHECK err_t store_cover_wait(struct store *s, const struct cover *need, mono_ns deadline) MAY_YIELD;

/* Requests of `want` that logs here still have (of open, closed or sealed generations), one in memory at a time, each at most
 * once, aliases last; until fn's error, which is answered, or until bytes_max are given, one at least. The bytes are as store_put takes
 * them. What is wanted and was not given is not in the logs any more, or is in others' alone. */
typedef err_t store_pull_fn(void *ctx, const struct batch_name *name, struct str bytes); /* may yield */
MUST_CHECK err_t store_pull(struct store *s, const struct cover *want, uint64_t bytes_max, store_pull_fn *fn, void *ctx) MAY_YIELD;

/* What every live member of each stream covers, as far as it is known; takes the place of what was said before. Log files of
 * sealed generations stay while they hold names of streams with other members that are not in it: at most
 * opts.log_keep_bytes of them, at most for opts.log_keep_ms since they were sealed or, of an earlier life, since the start, and not
 * when the disk is nearly full; the oldest go first. */
void store_covered(struct store *s, const struct cover *by_all) MAY_YIELD;

#endif
