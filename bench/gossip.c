/* What membership costs and how fast it is, by the size of the cluster: the step function that nodes run, on a network in memory with
 * 0.2 to 0.5 ms of delay and the loss given, in one thread.
 *   bench_gossip NODES [LOSS]
 * Prints one line: seconds until all of a cluster whose nodes start within ten seconds know each other; then a node a second for 30 s
 * with nothing to tell: packets and bytes sent (sealed, without headers of UDP and IP; the exchanges of all claims, frames both ways,
 * apart); the same while each node changes what it says of its coverage every 10 s; seconds until a change of one node
 * is known to half and to all, and in periods of gossip; seconds from a node's end to the first that holds it dead, and to the
 * last; CPU us a node and second of quiet, without sealing. */
#include "base/core/assert.h"
#include "base/core/buf.h"
#include "base/core/prng.h"
#include "bench/bench.h"
#include "cluster/swim.h"

enum { NODES_MAX = 4096 };
#define NOBODY UINT32_MAX
enum kind { DATAGRAM, FRAME, FRAME_BACK };

struct packet {
    uint32_t from, n;
    enum kind kind;
    uint64_t counter;
    node_id sender;
    uint8_t body[];
};
struct event {
    int64_t at;
    uint32_t node;
    struct packet *packet; /* NULL: a step is due */
};
struct node {
    uint32_t no;
    node_id id;
    struct swim *swim;
    uint64_t counter;
    bool on;
    uint32_t sync_with; /* or NOBODY */
};

static struct node nodes[NODES_MAX];
static struct event *heap;
static size_t nheap, heap_cap;
static uint32_t nnodes;
static int64_t now;
static double loss;
static struct prng rnd;
static uint64_t packets, bytes, sync_bytes;

static void push(struct event e)
{
    if (nheap == heap_cap) heap = realloc(heap, (heap_cap = heap_cap ? 2 * heap_cap : 1024) * sizeof *heap);
    ASSERT(heap);
    size_t i = nheap++;
    for (; i && heap[(i - 1) / 2].at > e.at; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = e;
}

static struct event pop(void)
{
    struct event top = heap[0], e = heap[--nheap];
    size_t i = 0;
    for (size_t c; (c = 2 * i + 1) < nheap; i = c) {
        c += c + 1 < nheap && heap[c + 1].at < heap[c].at;
        if (heap[c].at >= e.at) break;
        heap[i] = heap[c];
    }
    heap[i] = e;
    return top;
}

static struct io_addr addr_of(uint32_t no)
{
    char text[32];
    struct io_addr a;
    snprintf(text, sizeof text, "10.%u.%u.%u", 1 + (no >> 16), no >> 8 & 255, no & 255);
    need(io_addr_parse(text, 7946, &a));
    return a;
}

static uint32_t node_at(const struct io_addr *a)
{
    return (uint32_t)(a->bytes[5] - 1) << 16 | (uint32_t)a->bytes[6] << 8 | a->bytes[7]; /* of a sockaddr_in */
}

static void put_packet(struct node *from, uint32_t to, const uint8_t *body, size_t n, enum kind kind)
{
    struct packet *p = malloc(sizeof *p + n);
    ASSERT(p);
    *p = (struct packet){ from->no, (uint32_t)n, kind, ++from->counter, from->id };
    memcpy(p->body, body, n);
    push((struct event){ now + 200000 + (int64_t)prng_below(&rnd, 300000), to, p });
}

static void on_send(void *ctx, const struct io_addr *to, const uint8_t *body, size_t n)
{
    packets++;
    bytes += n + SWIM_HEAD_BYTES + SWIM_TAG_BYTES;
    if (loss > 0 && prng_chance(&rnd, loss)) return;
    put_packet(ctx, node_at(to), body, n, DATAGRAM);
}

static void on_sync(void *ctx, const struct io_addr *with)
{
    ((struct node *)ctx)->sync_with = node_at(with);
}

static void on_refused(void *ctx, const struct io_addr *peer, enum swim_refusal why, bool told)
{
    (void)ctx;
    (void)peer;
    (void)told;
    fprintf(stderr, "refused: %s\n", swim_refusal_text(why));
    exit(1);
}

static void on_superseded(void *ctx, const struct member *by)
{
    (void)ctx;
    (void)by;
    UNREACHABLE();
}

static const struct swim_ops ops = { on_send, on_sync, on_refused, on_superseded };

static void send_state(struct node *from, uint32_t to, enum kind kind)
{
    struct buf b;
    buf_init(&b, SWIM_FRAME_MAX, NULL);
    swim_state(from->swim, &b);
    need(buf_check(&b));
    sync_bytes += b.n + SWIM_HEAD_BYTES + SWIM_TAG_BYTES + 4;
    put_packet(from, to, (const uint8_t *)b.p, b.n, kind);
    buf_deinit(&b);
}

static void node_start(uint32_t no)
{
    struct node *x = &nodes[no];
    struct swim_opts o = { .self = { hash_u64(no + 1) }, .generation = 1, .salt = no, .seed = prng_next(&rnd), .times = swim_times_lan,
                           .ops = &ops, .ctx = x,
                           .meta = { .gossip = addr_of(no), .rpc = addr_of(no), .zone = "zone-a", .version = "0.1.0", .backend = "io_uring",
                                     .weight = 100, .partitions = 1024 } };
    struct io_addr seed = addr_of(0);
    *x = (struct node){ .no = no, .id = o.self, .on = true, .sync_with = NOBODY };
    need(swim_new(&o, (mono_ns){ now }, &x->swim));
    swim_seed(x->swim, &seed);
    push((struct event){ now, no, NULL });
}

static void after(struct node *x)
{
    if (x->sync_with == NOBODY) return;
    send_state(x, x->sync_with, FRAME);
    x->sync_with = NOBODY;
}

static void one(void)
{
    struct event e = pop();
    struct node *x = &nodes[e.node];
    now = e.at;
    if (!e.packet) {
        if (!x->swim) node_start(e.node);
        else if (x->on) push((struct event){ swim_step(x->swim, (mono_ns){ now }).ns, e.node, NULL });
        after(x);
        return;
    }
    struct packet *p = e.packet;
    if (x->on && x->swim) {
        struct swim_head h = { .sender = p->sender, .generation = 1, .salt = p->from, .counter = p->counter };
        struct io_addr from = addr_of(p->from);
        bool took = swim_receive(x->swim, (mono_ns){ now }, &from, &h, p->body, p->n);
        if (took && p->kind == FRAME) send_state(x, p->from, FRAME_BACK);
        after(x);
    }
    free(p);
}

static void run_until(int64_t t)
{
    while (nheap && heap[0].at <= t)
        one();
    now = t;
}

/* How many of those that are on satisfy fn. */
static uint32_t count(bool (*fn)(const struct node *))
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < nnodes; i++)
        n += nodes[i].on && nodes[i].swim && fn(&nodes[i]);
    return n;
}

static bool knows_all(const struct node *x) { return swim_live_others(x->swim) == nnodes - 1; }

static node_id about;
static uint64_t version_wanted;
static bool knows_version(const struct node *x)
{
    const struct member *m = members_find(swim_members(x->swim), about);
    return m && m->version >= version_wanted;
}
static bool knows_death(const struct node *x)
{
    const struct member *m = members_find(swim_members(x->swim), about);
    return m && m->state == MEMBER_DEAD;
}

static double seconds_until(bool (*fn)(const struct node *), uint32_t n, double most)
{
    int64_t from = now;
    while (count(fn) < n && now - from < (int64_t)(most * 1e9))
        run_until(now + 20 * NS_PER_MS);
    return (double)(now - from) * 1e-9;
}

static const struct member *own(uint32_t no)
{
    return members_find(swim_members(nodes[no].swim), nodes[no].id);
}

static void change(uint32_t no, bool cover)
{
    struct member_meta m = own(no)->meta;
    if (cover) m.cover_hash = prng_next(&rnd);
    else m.weight++;
    need(swim_meta(nodes[no].swim, (mono_ns){ now }, &m));
}

static void rate(const char *what, double s)
{
    double each = s * nnodes;
    printf("  %s: %.1f packets/s, %.0f bytes/s, exchanges %.0f bytes/s\n", what, (double)packets / each, (double)bytes / each, (double)sync_bytes / each);
}

static void quiet(void)
{
    run_until(now + 30 * NS_PER_S);
    packets = bytes = sync_bytes = 0;
    double cpu = cpu_ns();
    run_until(now + 30 * NS_PER_S);
    cpu = cpu_ns() - cpu;
    rate("quiet, a node", 30);
    printf("  CPU of a node, the network's included: %.0f us/s\n", cpu * 1e-3 / 30 / nnodes);
    packets = bytes = sync_bytes = 0;
    for (unsigned tick = 0; tick < 300; tick++) {
        for (uint32_t i = tick % 100; i < nnodes; i += 100)
            change(i, true);
        run_until(now + 100 * NS_PER_MS);
    }
    rate("coverage changes every 10 s, a node", 30);
    run_until(now + 60 * NS_PER_S);
}

int main(int argc, char **argv)
{
    if (argc < 2 || (nnodes = (uint32_t)atoi(argv[1])) < 2 || nnodes > NODES_MAX) {
        fprintf(stderr, "usage: bench_gossip NODES [LOSS]\n");
        return 2;
    }
    loss = argc > 2 ? atof(argv[2]) : 0;
    prng_init(&rnd, 1);
    now = NS_PER_S;
    for (uint32_t i = 0; i < nnodes; i++)
        push((struct event){ now + (int64_t)prng_below(&rnd, 10 * (uint64_t)NS_PER_S), i, NULL });
    run_until(now + 10 * NS_PER_S);
    printf("%u nodes, loss %.0f %%\n", nnodes, loss * 100);
    printf("  all know all %.1f s after the last has started\n", seconds_until(knows_all, nnodes, 300));
    quiet();
    about = own(nnodes / 2)->id;
    version_wanted = own(nnodes / 2)->version + 1;
    change(nnodes / 2, false);
    double half = seconds_until(knows_version, (nnodes + 1) / 2, 300), all = half + seconds_until(knows_version, nnodes, 300);
    printf("  a change is known to half after %.2f s, to all after %.2f s: %.0f rounds of gossip\n", half, all, all / 0.2);
    about = own(nnodes - 1)->id;
    nodes[nnodes - 1].on = false;
    double first = seconds_until(knows_death, 1, 300), last = first + seconds_until(knows_death, nnodes - 1, 300);
    printf("  a node's end is known to the first after %.1f s, to the last after %.1f s\n", first, last);
    for (uint32_t i = 0; i < nnodes; i++)
        swim_free(nodes[i].swim);
    while (nheap)
        free(pop().packet);
    free(heap);
    return 0;
}
