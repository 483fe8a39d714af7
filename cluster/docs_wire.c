#include "cluster/docs_wire.h"

#include "base/core/assert.h"

enum { SET_VERSION = 1, ONE_LEAST = 8 + 8 + 1 + 1 + 16 + 1 };

int doc_version_cmp(struct doc_version a, struct doc_version b)
{
    if (a.clock != b.clock) return a.clock < b.clock ? -1 : 1;
    return a.node.u < b.node.u ? -1 : a.node.u > b.node.u;
}

static bool is_same(struct doc_version a, struct doc_version b)
{
    return doc_version_cmp(a, b) == 0;
}

static bool knows(const struct doc_one *o, struct doc_version v)
{
    for (uint32_t i = 0; i < o->nknown; i++)
        if (o->known[i].node.u == v.node.u) return o->known[i].clock >= v.clock;
    return false;
}

/* -- bytes ----------------------------------------------------------------------------------------------------- */
void doc_set_put(const struct doc_set *s, struct buf *out)
{
    buf_byte(out, SET_VERSION);
    buf_varint(out, s->n);
    for (uint32_t i = 0; i < s->n; i++) {
        const struct doc_one *o = &s->v[i];
        bytes_out_u64(out, o->version.clock);
        bytes_out_u64(out, o->version.node.u);
        buf_byte(out, o->deleted);
        buf_varint(out, o->nknown);
        for (uint32_t k = 0; k < o->nknown; k++) {
            bytes_out_u64(out, o->known[k].node.u);
            bytes_out_u64(out, o->known[k].clock);
        }
        bytes_out_str(out, o->value);
    }
}

static err_t bad(const char *why)
{
    return err_set(ERR_CORRUPT, "the record of a document is malformed: %s", why);
}

static err_t get_known(struct bytes_in *in, struct doc_one *o)
{
    o->nknown = bytes_in_count(in, 16);
    if (in->bad || o->nknown == 0 || o->nknown > DOC_WRITERS_MAX) return bad("writers");
    for (uint32_t k = 0; k < o->nknown; k++) {
        o->known[k].node.u = bytes_in_u64(in);
        o->known[k].clock = bytes_in_u64(in);
        if (k > 0 && o->known[k].node.u <= o->known[k - 1].node.u) return bad("the order of writers");
        if (o->known[k].clock > o->version.clock) return bad("a version that knows of a newer one");
    }
    for (uint32_t k = 0; k < o->nknown; k++)
        if (is_same(o->known[k], o->version)) return OK;
    return bad("a version that does not know itself");
}

static err_t get_one(struct bytes_in *in, struct doc_one *o)
{
    o->version.clock = bytes_in_u64(in);
    o->version.node.u = bytes_in_u64(in);
    uint8_t deleted = bytes_in_u8(in);
    if (in->bad || o->version.clock == 0 || o->version.clock >> 63 || deleted > 1) return bad("a version");
    o->deleted = deleted != 0;
    TRY(get_known(in, o));
    o->value = bytes_in_str(in);
    if (in->bad || o->value.n > DOC_VALUE_MAX || (o->deleted && o->value.n)) return bad("a value");
    return OK;
}

err_t doc_set_get(struct str bytes, struct doc_set *out)
{
    struct bytes_in in = bytes_in_of(bytes);
    if (bytes_in_u8(&in) != SET_VERSION) return bad("its form is not known here");
    out->n = bytes_in_count(&in, ONE_LEAST);
    if (in.bad || out->n == 0 || out->n > DOC_VERSIONS_MAX) return bad("versions");
    for (uint32_t i = 0; i < out->n; i++) {
        TRY(get_one(&in, &out->v[i]));
        if (i > 0 && doc_version_cmp(out->v[i - 1].version, out->v[i].version) <= 0) return bad("the order of versions");
    }
    for (uint32_t i = 0; i < out->n; i++)
        for (uint32_t k = 0; k < out->n; k++)
            if (i != k && knows(&out->v[i], out->v[k].version)) return bad("a version that another one knew");
    return in.p == in.end ? OK : bad("bytes follow");
}

/* -- union ------------------------------------------------------------------------------------------------------- */
/* To its place, if nothing there knows it; what it knows goes. */
static bool add(struct doc_set *s, const struct doc_one *o)
{
    uint32_t n = 0, at = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (knows(&s->v[i], o->version)) return false;
    for (uint32_t i = 0; i < s->n; i++)
        if (!knows(o, s->v[i].version)) s->v[n++] = s->v[i];
    s->n = n;
    while (at < n && doc_version_cmp(s->v[at].version, o->version) > 0)
        at++;
    if (at == DOC_VERSIONS_MAX) return false;
    if (n == DOC_VERSIONS_MAX) n--; /* the oldest conflict */
    for (uint32_t i = n; i > at; i--)
        s->v[i] = s->v[i - 1];
    s->v[at] = *o;
    s->n = n + 1;
    return true;
}

bool doc_set_join(struct doc_set *to, const struct doc_set *from)
{
    bool any = false;
    for (uint32_t i = 0; i < from->n; i++)
        any |= add(to, &from->v[i]);
    return any;
}

/* At most DOC_WRITERS_MAX: the one of the least clock makes room. */
static void know(struct doc_one *o, struct doc_version v)
{
    uint32_t at = 0;
    while (at < o->nknown && o->known[at].node.u < v.node.u)
        at++;
    if (at < o->nknown && o->known[at].node.u == v.node.u) {
        o->known[at].clock = MAX(o->known[at].clock, v.clock);
        return;
    }
    if (o->nknown == DOC_WRITERS_MAX) {
        uint32_t least = 0;
        for (uint32_t i = 1; i < o->nknown; i++)
            if (o->known[i].clock < o->known[least].clock) least = i;
        if (o->known[least].clock >= v.clock) return;
        for (uint32_t i = least; i + 1 < o->nknown; i++)
            o->known[i] = o->known[i + 1];
        o->nknown--;
        at -= at > least;
    }
    for (uint32_t i = o->nknown; i > at; i--)
        o->known[i] = o->known[i - 1];
    o->known[at] = v;
    o->nknown++;
}

void doc_set_next(const struct doc_set *was, struct doc_version version, struct str value, struct doc_set *out)
{
    struct doc_one *o = &out->v[0];
    *o = (struct doc_one){ .version = version, .deleted = value.p == NULL, .value = value };
    for (uint32_t i = 0; i < was->n; i++) {
        ASSERT(doc_version_cmp(was->v[i].version, version) < 0);
        for (uint32_t k = 0; k < was->v[i].nknown; k++)
            know(o, was->v[i].known[k]);
    }
    know(o, version); /* of the greatest clock: it is never what makes room */
    out->n = 1;
}
