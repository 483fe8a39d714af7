/* The tape of a simulated run and its player; sim.h says what for.
 *
 * Invariants
 *  1. Operations stand on the tape in the order in which they took effect; those that failed are left out.
 *  2. submitted <= the operation's own place. At place k those at k and behind it with submitted <= k are under way:
 *     they end within `reach` places.
 *  3. A player's disk at place k is what programs of the run saw after k operations, unsynced changes told apart. */
#include "base/core/assert.h"
#include "base/rt/sim_in.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { TAPE_NOTE = IO_KINDS, FD_MAX = 1 << 16 };

struct tape_op {
    unsigned kind; /* enum io_kind, or TAPE_NOTE */
    int fd, flags;
    char *path, *path2;
    uint8_t *bytes;
    size_t n;
    uint64_t off; /* of a note: its value */
    size_t submitted;
    int64_t wall_ns;
};

struct sim_tape {
    struct tape_op *ops;
    size_t n, cap, reach;
};

static void *must(void *p)
{
    ASSERT(p);
    return p;
}

struct sim_tape *sim_tape_new(void)
{
    return must(calloc(1, sizeof(struct sim_tape)));
}

void sim_tape_free(struct sim_tape *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->n; i++) {
        free(t->ops[i].path);
        free(t->ops[i].path2);
        free(t->ops[i].bytes);
    }
    free(t->ops);
    free(t);
}

size_t sim_tape_length(const struct sim_tape *t)
{
    return t ? t->n : 0;
}

static void put(struct sim_tape *t, struct tape_op op)
{
    if (t->n == t->cap) {
        t->cap = MAX(2 * t->cap, 256);
        t->ops = must(realloc(t->ops, t->cap * sizeof *t->ops));
    }
    t->reach = MAX(t->reach, t->n - op.submitted + 1);
    t->ops[t->n++] = op;
}

static char *copy_path(const char *path)
{
    return path ? must(strdup(path)) : NULL;
}

void sim_tape_put(struct sim_tape *t, const struct io_op *op, size_t at, int64_t wall_ns)
{
    if (op->result < 0) return;
    struct tape_op o = { .kind = op->kind, .fd = op->fd, .flags = op->flags, .off = op->off, .submitted = at, .wall_ns = wall_ns };
    switch (op->kind) {
    case IO_OPEN:
        o.fd = (int)op->result;
        o.path = copy_path(op->path);
        break;
    case IO_WRITE:
    case IO_WRITE_SYNC:
        o.kind = IO_WRITE;
        o.n = (size_t)op->result;
        o.bytes = must(malloc(o.n + 1));
        memcpy(o.bytes, op->buf, o.n);
        break;
    case IO_SYNC_DIR:
    case IO_MKDIR:
    case IO_UNLINK:
    case IO_RENAME:
        o.path = copy_path(op->path);
        o.path2 = op->kind == IO_RENAME ? copy_path(op->path2) : NULL;
        break;
    case IO_CLOSE:
    case IO_SYNC:
    case IO_ALLOCATE:
    case IO_TRUNCATE: break;
    default: return;
    }
    put(t, o);
    if (op->kind == IO_WRITE_SYNC && o.n == op->n)
        put(t, (struct tape_op){ .kind = IO_SYNC, .fd = op->fd, .submitted = at, .wall_ns = wall_ns });
}

void sim_tape_note(uint64_t value)
{
    struct sim *s = rt_self ? rt_self->rt->sim : NULL;
    if (!s || !s->opts.tape) return;
    struct sim_tape *t = s->opts.tape;
    put(t, (struct tape_op){ .kind = TAPE_NOTE, .off = value, .submitted = t->n, .wall_ns = s->wall_start + s->world->now });
}

/* -- the player ------------------------------------------------------------------------------------- */
struct sim_player {
    const struct sim_tape *tape;
    struct sim_disk *disk;
    size_t at;
    struct sim_node **nodes; /* by descriptor, referenced */
    size_t nnodes;
};

struct sim_player *sim_player_new(const struct sim_tape *t, struct sim_disk *start)
{
    struct sim_player *p = must(calloc(1, sizeof *p));
    p->tape = t;
    p->disk = sim_disk_copy(start, NULL, 0);
    return p;
}

void sim_player_free(struct sim_player *p)
{
    if (!p) return;
    for (size_t i = 0; i < p->nnodes; i++)
        if (p->nodes[i]) sim_node_put(p->nodes[i]);
    free(p->nodes);
    sim_disk_free(p->disk);
    free(p);
}

static bool changes(const struct tape_op *o)
{
    switch (o->kind) {
    case IO_OPEN: return o->flags & (O_CREAT | O_TRUNC);
    case IO_CLOSE:
    case TAPE_NOTE: return false;
    default: return true;
    }
}

bool sim_player_peek(const struct sim_player *p, struct sim_played *out)
{
    if (p->at == p->tape->n) return false;
    const struct tape_op *o = &p->tape->ops[p->at];
    *out = (struct sim_played){ .changes = changes(o), .is_note = o->kind == TAPE_NOTE, .note = o->off, .wall_ns = o->wall_ns };
    return true;
}

/* What an operation does to the disk; `n` is the file of its descriptor. */
static void play(struct sim_disk *d, const struct tape_op *o, struct sim_node *n)
{
    switch (o->kind) {
    case IO_WRITE: sim_node_write(n, o->off, o->bytes, o->n); break;
    case IO_SYNC: sim_node_sync(n); break;
    case IO_TRUNCATE: sim_node_resize(n, o->off); break;
    case IO_ALLOCATE:
        if (o->off > n->now.size) sim_node_resize(n, o->off);
        break;
    case IO_SYNC_DIR: (void)sim_disk_sync_dir(d, o->path); break;
    case IO_MKDIR: (void)sim_disk_mkdir(d, o->path); break;
    case IO_UNLINK: (void)sim_disk_unlink(d, o->path); break;
    case IO_RENAME: (void)sim_disk_rename(d, o->path, o->path2); break;
    default: break;
    }
}

static bool of_file(const struct tape_op *o)
{
    return o->kind == IO_WRITE || o->kind == IO_SYNC || o->kind == IO_TRUNCATE || o->kind == IO_ALLOCATE;
}

static struct sim_node **node_at(struct sim_player *p, int fd)
{
    ASSERT(fd >= 0 && fd < FD_MAX);
    if ((size_t)fd >= p->nnodes) {
        size_t n = (size_t)fd + 64;
        p->nodes = must(realloc(p->nodes, n * sizeof(struct sim_node *)));
        memset(p->nodes + p->nnodes, 0, (n - p->nnodes) * sizeof(struct sim_node *));
        p->nnodes = n;
    }
    return &p->nodes[fd];
}

void sim_player_step(struct sim_player *p)
{
    ASSERT(p->at < p->tape->n);
    const struct tape_op *o = &p->tape->ops[p->at++];
    if (o->kind == IO_OPEN) {
        struct sim_node **at = node_at(p, o->fd);
        ASSERT(!*at);
        ASSERT(sim_disk_open(p->disk, o->path, o->flags, at) == 0);
    } else if (o->kind == IO_CLOSE) {
        struct sim_node **at = node_at(p, o->fd);
        sim_node_put(*at);
        *at = NULL;
    } else if (o->kind != TAPE_NOTE) {
        struct sim_node *n = of_file(o) ? *node_at(p, o->fd) : NULL;
        ASSERT(n || !of_file(o));
        play(p->disk, o, n);
    }
}

/* Operations under way at the crash: a sync under way may have written any part, as is the case without it. */
static void fly(struct sim_player *p, struct sim_disk *d, struct sim_node **nodes, struct sim_pick *by)
{
    const struct sim_tape *t = p->tape;
    for (size_t i = p->at; i < MIN(p->at + t->reach, t->n); i++) {
        const struct tape_op *o = &t->ops[i];
        if (o->submitted > p->at || !changes(o) || o->kind == IO_SYNC || o->kind == IO_SYNC_DIR) continue;
        struct sim_node *n = of_file(o) ? nodes[o->fd] : NULL;
        if (of_file(o) && !n) continue; /* nobody will find it again */
        if (by->fn(by, SIM_PICK_FLIGHT, 2) == 0) continue;
        if (o->kind != IO_OPEN) {
            play(d, o, n);
        } else if (sim_disk_open(d, o->path, o->flags, &n) == 0) {
            sim_node_put(n);
        }
    }
}

struct sim_disk *sim_player_crash(struct sim_player *p, struct sim_pick *by, struct sim_stats *stats)
{
    struct sim_node **nodes = must(calloc(p->nnodes + 1, sizeof(struct sim_node *)));
    if (p->nnodes) memcpy(nodes, p->nodes, p->nnodes * sizeof(struct sim_node *));
    struct sim_disk *d = sim_disk_copy(p->disk, nodes, p->nnodes);
    fly(p, d, nodes, by);
    free(nodes);
    sim_disk_crash_by(d, by, stats);
    return d;
}
