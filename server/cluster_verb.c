#include "server/cluster_verb.h"

#include "server/ask.h"
#include "storage/json_in.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 << 20, CELL_MAX = 72 };

/* -- what is in the answer ----------------------------------------------------------------------------------------------- */
static int64_t number_of(const struct json_val *v, const char *key)
{
    int64_t n = 0;
    const struct json_val *x = json_get(v, key);
    return x && json_to_i64(x, &n) ? n : 0;
}

static bool true_of(const struct json_val *v, const char *key)
{
    const struct json_val *x = json_get(v, key);
    return x && x->type == JSON_BOOL && x->boolean;
}

/* Fit for a terminal: nothing in it moves the cursor. */
static const char *shown(const struct json_val *x, char out[CELL_MAX])
{
    struct str s = x && x->type == JSON_STR ? x->str : STR_NONE;
    size_t n = MIN(s.n, (size_t)CELL_MAX - 1);
    for (size_t i = 0; i < n; i++)
        out[i] = s.p[i] < ' ' || s.p[i] == 0x7f ? '?' : s.p[i];
    out[n] = 0;
    if (n == 0) memcpy(out, "-", 2);
    return out;
}

static const char *text_of(const struct json_val *v, const char *key, char out[CELL_MAX])
{
    return shown(json_get(v, key), out);
}

/* -- the tables ------------------------------------------------------------------------------------------------------------ */
static void show_time(int64_t ms, char out[CELL_MAX])
{
    long long s = ms / 1000;
    if (s < 60) snprintf(out, CELL_MAX, "%lld s", s);
    else if (s < 3600) snprintf(out, CELL_MAX, "%lld min", s / 60);
    else if (s < 48 * 3600) snprintf(out, CELL_MAX, "%lld h", s / 3600);
    else snprintf(out, CELL_MAX, "%lld d", s / 86400);
}

static void show_member(const struct json_val *m)
{
    char id[CELL_MAX], state[CELL_MAX], since[CELL_MAX], zone[CELL_MAX], version[CELL_MAX], backend[CELL_MAX], health[CELL_MAX], rtt[CELL_MAX], disk[CELL_MAX], at[CELL_MAX];
    show_time(number_of(m, "since_ms"), since);
    const struct json_val *disk_used = json_get(m, "disk_percent");
    if (disk_used && disk_used->type != JSON_NULL) snprintf(disk, sizeof disk, "%lld %%", (long long)number_of(m, "disk_percent"));
    else snprintf(disk, sizeof disk, "-");
    snprintf(rtt, sizeof rtt, true_of(m, "connected") ? "%.2f ms" : "-", (double)number_of(m, "rtt_us") / 1e3);
    printf("%-16s %c %-8s %-8s %-12s %-12s %-9s %-9s %6lld %5s %9s  %s\n", text_of(m, "id", id), true_of(m, "self") ? '*' : ' ', text_of(m, "state", state),
           since, text_of(m, "zone", zone), text_of(m, "version", version), text_of(m, "backend", backend), text_of(m, "health", health),
           (long long)number_of(m, "weight"), disk, rtt, text_of(m, "address", at));
}

/* What one node has of a stream; a member that did not answer has a "?". */
static void show_having(const struct json_val *have, const struct json_val *member)
{
    char node[CELL_MAX], other[CELL_MAX];
    const struct json_val *h;
    shown(member, node);
    JSON_EACH (h, have) {
        if (strcmp(node, text_of(h, "node", other)) != 0) continue;
        printf(" %s:%lld", node, (long long)number_of(h, "batches"));
        return;
    }
    printf(" %s:?", node);
}

/* Whose rows a stream has. */
static void show_whose(const struct json_val *st)
{
    char tenant[CELL_MAX];
    if (json_get(st, "tenant")) printf("  tenant %s", text_of(st, "tenant", tenant));
    else if (json_get(st, "group")) printf("  group %lld of tenants", (long long)number_of(st, "group"));
}

static void show_stream(const struct json_val *st)
{
    char id[CELL_MAX];
    const struct json_val *members = json_get(st, "members"), *have = json_get(st, "have"), *m;
    printf("%-16s %12lld ", text_of(st, "id", id), (long long)number_of(st, "all"));
    if (members && have) JSON_EACH (m, members)
        show_having(have, m);
    show_whose(st);
    printf("\n");
}

static void show_copies(const struct json_val *t, const char *name)
{
    char nodes[CELL_MAX];
    const char *key = name ? "tenant_nodes" : "nodes";
    char own[CELL_MAX];
    if (number_of(t, key)) snprintf(nodes, sizeof nodes, "%lld", (long long)number_of(t, key));
    else snprintf(nodes, sizeof nodes, "all");
    printf("%-32s %8lld %8lld %8s\n", name ? name : text_of(t, "tenant", own), (long long)number_of(t, "replicas"), (long long)number_of(t, "write_quorum"), nodes);
}

/* Only where some tenant has settings of its own. */
static void show_tenants(const struct json_val *doc)
{
    const struct json_val *tenants = json_get(doc, "tenants"), *t;
    uint32_t n = 0;
    if (tenants) JSON_EACH (t, tenants)
        n++;
    if (n == 0 && number_of(doc, "tenant_nodes") == 0) return;
    printf("\n%-32s %8s %8s %8s\n", "TENANT", "REPLICAS", "QUORUM", "NODES");
    if (tenants) JSON_EACH (t, tenants)
        show_copies(t, NULL);
    show_copies(doc, "(all others)");
}

static void show_other_settings(const struct json_val *members)
{
    char id[CELL_MAX];
    const struct json_val *m;
    if (members) JSON_EACH (m, members)
        if (true_of(m, "other_settings"))
            printf("\nnode %s has other settings of replicas, write quorum or tenants (cluster.*) than the node that was asked\n", text_of(m, "id", id));
}

static void show(const struct json_val *doc)
{
    char text[CELL_MAX];
    const struct json_val *members = json_get(doc, "members"), *streams = json_get(doc, "streams"), *v;
    if (true_of(doc, "alone"))
        printf("cluster \"%s\": this node is alone, its own sync is the ack\n\n", text_of(doc, "label", text));
    else
        printf("cluster \"%s\": each row on %lld nodes, acknowledged by %lld\n\n", text_of(doc, "label", text), (long long)number_of(doc, "replicas"),
               (long long)number_of(doc, "write_quorum"));
    printf("%-16s   %-8s %-8s %-12s %-12s %-9s %-9s %6s %5s %9s  %s\n", "NODE", "STATE", "FOR", "ZONE", "VERSION", "BACKEND", "HEALTH", "WEIGHT", "DISK", "RTT", "GOSSIP");
    if (members) JSON_EACH (v, members)
        show_member(v);
    show_other_settings(members);
    show_tenants(doc);
    printf("\n%-16s %12s  %s\n", "STREAM", "BATCHES", "THAT MEMBERS HAVE");
    if (streams) JSON_EACH (v, streams)
        show_stream(v);
}

/* What a request is answered, parsed into the arena. */
static err_t ask_json(const struct config *c, const char *request, struct arena *a, const struct json_val **doc)
{
    struct buf answer;
    struct str body;
    int status;
    buf_init(&answer, ANSWER_MAX, NULL);
    err_t e = ask_node(c, request, &answer, &status, &body);
    if (e == OK && status != 200) e = err_set(ERR_UNAVAILABLE, "the node answers %d: " STR_FMT, status, STR_ARG(body));
    if (e == OK) e = json_parse(arena_str(a, body), a, doc);
    struct err_record why = *err_record();
    buf_deinit(&answer);
    *err_record() = why;
    return e;
}

err_t cluster_status(const struct config *c)
{
    const struct json_val *doc;
    struct arena a;
    arena_init(&a, NULL);
    err_t e = ask_json(c, "GET /api/cluster?everywhere=true", &a, &doc);
    if (e == OK) show(doc);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

/* -- leaving --------------------------------------------------------------------------------------------------------------- */
struct drain_said {
    int64_t streams, covered;
    bool drained;
    char node[CELL_MAX];
};

static err_t drain_ask(const struct config *c, struct drain_said *out)
{
    const struct json_val *doc;
    char state[CELL_MAX];
    struct arena a;
    arena_init(&a, NULL);
    err_t e = ask_json(c, "POST /api/cluster/drain", &a, &doc);
    if (e == OK) {
        out->streams = number_of(doc, "streams");
        out->covered = number_of(doc, "covered");
        out->drained = strcmp(text_of(doc, "state", state), "drained") == 0;
        text_of(doc, "node", out->node);
    }
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

err_t cluster_drain_wait(const struct config *c)
{
    struct drain_said was = { .streams = -1 }, now = { 0 };
    for (;;) {
        TRY(drain_ask(c, &now));
        if (now.drained) break;
        if (now.streams != was.streams || now.covered != was.covered) {
            printf("draining: of %lld streams of node %s others have %lld\n", (long long)now.streams, now.node, (long long)now.covered);
            fflush(stdout);
        }
        was = now;
        sleep(1);
    }
    printf("drained: others have all that node %s has. Stop it now; after that, on another node: tercet cluster forget %s\n", now.node, now.node);
    return OK;
}

err_t cluster_forget_node(const struct config *c, const char *node)
{
    const struct json_val *doc;
    char request[256];
    struct arena a;
    if (node[0] == 0 || strspn(node, "0123456789abcdefABCDEF") != strlen(node))
        return err_set(ERR_INVALID, "'%s' is no node id: `tercet cluster status` shows them", node);
    snprintf(request, sizeof request, "POST /api/cluster/forget?node=%.32s", node);
    arena_init(&a, NULL);
    err_t e = ask_json(c, request, &a, &doc);
    if (e == OK) printf("node %s is forgotten\n", node);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}
