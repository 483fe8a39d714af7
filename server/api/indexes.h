/* The registry of log indexes: configurations and templates of users' indexes as documents in the catalog, one a
 * tenant and name; the two OpenTelemetry indexes are there for every tenant and cannot be changed.
 *
 *   key   "index/" tenant "/" id     value  {"uid": "id:ULID", "create_timestamp": s, "config": {...}}
 *   key   "template/" tenant "/" id  value  the template as it was sent
 * Rows of an index carry its uid, so that an index made again under the same name starts empty.
 *
 * In a cluster these are documents (cluster/docs.h, kinds DOC_INDEX and DOC_TEMPLATE, key tenant "/" id, the same values): what is made
 * on one node is written there, and every node follows with its own catalog, which is what all reads here go by, and with its rules of
 * retention. `c` NULL: the catalog of this node alone is written. */
#ifndef SERVER_API_INDEXES_H
#define SERVER_API_INDEXES_H

#include "base/core/json_out.h"
#include "cluster/cluster.h"
#include "query/logs/compile.h"
#include "server/ingest/docs.h"
#include "storage/store_delete.h"

enum { INDEXES_MAX = 10000, INDEX_PATTERNS_MAX = 100 };

struct index_entry {
    struct str id, uid;
    int64_t create_s;
    struct index_config config;
    struct log_index log;        /* for searches */
    bool builtin;
};

/* ERR_NOT_FOUND names the index. */
MUST_CHECK err_t indexes_get(struct store *s, struct str tenant, struct str id, struct arena *a, struct index_entry *out) MAY_YIELD;
/* The indexes that a list of names and globs means: "a,b", "logs-*,-logs-2". A name that does not exist is
 * ERR_NOT_FOUND unless ignore_missing; a glob without a match is none. Sorted by name, without duplicates.
 * ERR_INVALID: a malformed pattern. */
MUST_CHECK err_t indexes_match(struct store *s, struct str tenant, struct str patterns, bool ignore_missing, struct arena *a,
                               struct index_entry **out, uint32_t *n) MAY_YIELD;
/* ERR_INVALID: a bad configuration, or the name is taken (unless overwrite). */
MUST_CHECK err_t indexes_create(struct cluster *c, struct store *s, struct str tenant, struct str config_json, bool overwrite, struct arena *a,
                                struct index_entry *out) MAY_YIELD;
/* Keeps uid and rows. */
MUST_CHECK err_t indexes_update(struct cluster *c, struct store *s, struct str tenant, struct str id, struct str config_json, struct arena *a,
                                struct index_entry *out) MAY_YIELD;
/* Its rows go with it: store_tombstone. */
MUST_CHECK err_t indexes_delete(struct cluster *c, struct store *s, struct str tenant, const struct index_entry *e) MAY_YIELD;
/* A new uid: its rows are deleted. */
MUST_CHECK err_t indexes_clear(struct cluster *c, struct store *s, struct str tenant, const struct index_entry *e, struct arena *a) MAY_YIELD;

MUST_CHECK err_t templates_put(struct cluster *c, struct store *s, struct str tenant, struct str json, bool overwrite, struct arena *a) MAY_YIELD;
MUST_CHECK err_t templates_get(struct store *s, struct str tenant, struct str id, struct arena *a, struct str *json) MAY_YIELD;
MUST_CHECK err_t templates_delete(struct cluster *c, struct store *s, struct str tenant, struct str id) MAY_YIELD;
MUST_CHECK err_t templates_list(struct store *s, struct str tenant, struct arena *a, struct str **json, uint32_t *n) MAY_YIELD;
/* The index of that name, made from the best template when there is none yet. */
MUST_CHECK err_t indexes_get_or_make(struct cluster *c, struct store *s, struct str tenant, struct str id, struct arena *a,
                                     struct index_entry *out) MAY_YIELD;

/* On core 0, when the cluster is there: what this node has becomes documents of it where there are none, and from then on the node
 * follows them. */
void indexes_follow(struct cluster *c, struct store *s) MAY_YIELD;
void indexes_follow_end(struct cluster *c) MAY_YIELD;

/* The mapping as the ingest reads it. */
const struct doc_mapping *indexes_doc_mapping(const struct index_entry *e, struct arena *a);
/* {"version", "index_uid", "index_config": {...}, ...}: defaults are filled in. */
void indexes_write(const struct index_entry *e, struct json_out *j);

/* A YAML document as JSON text (block and flow collections, plain scalars typed as YAML 1.2's JSON schema; no
 * aliases; depth <= 64). */
MUST_CHECK err_t yaml_to_json(struct str yaml, struct arena *a, struct str *json);

#endif
