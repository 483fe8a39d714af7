/* The inside of the object tier, for object_tier*.c only. All of it is core 0's. */
#ifndef STORAGE_OBJECT_TIER_INT_H
#define STORAGE_OBJECT_TIER_INT_H

#include "storage/object.h"
#include "storage/object_catalog.h"
#include "storage/object_tier.h"
#include "storage/seg_remote.h"

enum { CLASS_RULES_MAX = 256, SEEN_MAX = 100000, UPLOADS = 2, PENDING_MAX = 4 };
#define CATALOG_NAME STR("catalog")

struct class_rule { /* a tenant whose durable class is not the default */
    struct str tenant;
    bool object;
};
struct name40 { char text[40]; };
struct segnames { /* sorted */
    struct name40 *v;
    uint32_t n, cap;
};
struct seen { /* in the bucket, not listed */
    struct str name, id; /* id: of an upload in parts, else empty; both malloc'd */
    mono_ns since;
    bool again; /* in the list that is being read */
};
enum tier_state {
    TIER_AWAY,  /* the catalog object is to be read first */
    TIER_OWNER,
    TIER_FENCED,
};
struct owner_record { /* in the local catalog */
    uint32_t version, importing; /* importing: the takeover's segments are not in the local catalog yet */
    hash128 id, last;            /* last: nonce of what is in the bucket, as far as is known */
    hash128 pending[PENDING_MAX]; /* of writes tried since, newest first: a request may arrive long after we gave up on it */
    uint64_t epoch;
};
_Static_assert(sizeof(struct owner_record) == 112, "no padding");

struct tier {
    struct store *s;
    struct object_retry retry;
    struct class_rule rules[CLASS_RULES_MAX];
    uint32_t nrules;
    bool object_default;
    char *rules_text;

    enum tier_state state;
    struct owner_record owner;
    bool exists; /* the catalog object; etag is its */
    struct object_etag etag;
    struct arena listed_mem;       /* of the catalog object as it is in the bucket */
    struct object_catalog listed;
    struct seg_info *infos;        /* its segments, by name */
    uint32_t ninfos, infos_cap;

    struct segnames wanted;  /* of store.infos: those that belong in the bucket */
    struct segnames present; /* in the bucket, not listed yet */
    uint32_t mixed;          /* segments that stay for the sake of local tenants' rows in them */
    uint64_t wanted_version; /* store.infos_version that it is of */
    mono_ns written_at, retry_at, look_at, collect_at;
    int64_t pause_ms;
    struct seen *seen;
    uint32_t nseen, seen_cap;
    struct scope scope;
    struct event wake;
    bool started, closing;
};

/* object_tier_names.c: sorted lists of names, and which segments the classes of their tenants call to the bucket */
void segnames_free(struct segnames *l);
void segnames_add(struct segnames *l, const char name[40]);
bool segnames_have(const struct segnames *l, const char name[40]);
MUST_CHECK err_t class_rules_parse(struct tier *t, const char *durable, const char *tenants);
MUST_CHECK err_t tier_wanted(struct tier *t) MAY_YIELD; /* brings t->wanted up to date */

/* object_tier_due.c: when */
bool tier_due(const struct tier *t, const struct seg_info *i);
/* Seconds for which it has held rows that the bucket has not, if it is not in the bucket; 0 where older segments there have them. */
int64_t tier_age_s(const struct tier *t, const struct seg_info *i);

/* object_tier_catalog.c: the catalog object */
MUST_CHECK err_t tier_recover(struct tier *t) MAY_YIELD; /* at start */
MUST_CHECK err_t tier_attach(struct tier *t) MAY_YIELD;  /* TIER_AWAY -> TIER_OWNER or TIER_FENCED */
const struct seg_info *tier_listed(const struct tier *t, const char name[40]);
/* Lists what is wanted and present; does nothing when that is so already. */
MUST_CHECK err_t tier_write(struct tier *t) MAY_YIELD;

/* object_tier_collect.c */
MUST_CHECK err_t tier_collect(struct tier *t) MAY_YIELD;
void tier_collect_free(struct tier *t);

#endif
