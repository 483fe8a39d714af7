#include "query/graph/peer.h"

enum { DB_SYSTEM_NAME, DB_SYSTEM, DB_NAMESPACE, DB_NAME, MESSAGING, PEER_SERVICE, SERVER_ADDRESS, NET_PEER_NAME };
static const char *const attributes[PEER_COLS] = {
    [DB_SYSTEM_NAME] = "db.system.name", [DB_SYSTEM] = "db.system",       [DB_NAMESPACE] = "db.namespace",
    [DB_NAME] = "db.name",               [MESSAGING] = "messaging.system", [PEER_SERVICE] = "peer.service",
    [SERVER_ADDRESS] = "server.address", [NET_PEER_NAME] = "net.peer.name",
};

err_t peer_bind(struct peer_reader *r, struct rowset *rs)
{
    *r = (struct peer_reader){ .bound = true };
    for (int i = 0; i < PEER_COLS; i++)
        TRY(rowset_column(rs, REL_ROWS, SC_ATTR, str_of(attributes[i]), COL_STR, &r->col[i]));
    return OK;
}

/* The first of columns [from, to) that has a text there. */
static struct str text_at(const struct peer_reader *r, int from, int to, uint32_t row)
{
    for (int i = from; i < to; i++) {
        if (!r->col[i] || !column_has(r->col[i], row)) continue;
        struct str s = column_str(r->col[i], row);
        if (s.n) return s;
    }
    return STR("");
}

static void resolve(struct peer_reader *r, uint32_t row, struct edges *edges)
{
    char text[2 * PEER_NAME_MAX + 1];
    struct str name = text_at(r, DB_SYSTEM_NAME, DB_NAMESPACE, row);
    r->kind = EDGE_DATABASE;
    if (name.n) {
        struct str space = text_at(r, DB_NAMESPACE, MESSAGING, row);
        size_t n = MIN(name.n, (size_t)PEER_NAME_MAX);
        memcpy(text, name.p, n);
        if (space.n) text[n++] = '/';
        if (space.n) memcpy(text + n, space.p, MIN(space.n, (size_t)PEER_NAME_MAX));
        name = str_n(text, n + MIN(space.n, (size_t)PEER_NAME_MAX));
    } else if (name = text_at(r, MESSAGING, PEER_SERVICE, row), name.n) {
        r->kind = EDGE_MESSAGING;
    } else {
        name = text_at(r, PEER_SERVICE, PEER_COLS, row);
        r->kind = EDGE_EXTERNAL;
    }
    r->known = name.n > 0;
    r->peer = r->known ? edges_peer(edges, name) : NAME_NONE;
}

bool peer_of(struct peer_reader *r, uint32_t row, struct edges *edges, enum edge_kind *kind, uint32_t *peer)
{
    uint32_t code[PEER_COLS];
    for (int i = 0; i < PEER_COLS; i++)
        code[i] = r->col[i] && column_has(r->col[i], row) ? r->col[i]->code[row] + 1 : 0;
    if (memcmp(code, r->code, sizeof code) != 0) {
        memcpy(r->code, code, sizeof code);
        resolve(r, row, edges);
    }
    *kind = r->kind;
    *peer = r->peer;
    return r->known;
}
