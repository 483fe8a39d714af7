/* A switch for real processes: every port is a network namespace with a TAP device, and every frame between two ports is
 * judged by the link of its direction: delay, jitter, loss, duplication, reordering, corruption, bandwidth, cut.
 *
 *   switch --ports N [--seed S]        needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN) and /dev/net/tun
 *
 * Port i (1..N) has 10.77.0.i/24 and the MAC 02:77:00:00:00:i; neighbours are known from the start, so that no ARP is asked
 * and a one-way cut is one. First line out: "ready PID FD FD ...", and /proc/PID/fd/FD is the namespace of each port
 * (nsenter --net=...). Namespaces and devices go with this process. Commands, a line each; each is answered with one line:
 *
 *   link FROM TO KEY=VALUE...          FROM and TO: a port or *; keys: delay_us, jitter_us, loss, dup, reorder, corrupt
 *                                      (0..1), reorder_us (what a reordered frame waits more), kbps (0: no limit), cut (0, 1)
 *   stats FROM TO                      "stats sent=N lost=N duplicated=N reordered=N corrupted=N cut=N full=N"
 *
 * End of input ends the switch. Same seed and same frames in a direction: same fates in it; each direction draws from a
 * generator of its own, five numbers a frame, whatever its settings are. Frames of one direction stay in order unless they
 * are reordered (jitter never overtakes). Only IPv4 passes: what else the kernel says by itself would cost draws.
 * At most QUEUE_MAX frames wait; what comes on top is dropped and counted as full. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { PORTS_MAX = 16, FRAME_MAX = 2048, QUEUE_MAX = 16384, LINE_MAX_BYTES = 512, BURST = 64 };

struct link {
    int64_t delay_us, jitter_us, reorder_us, kbps;
    double loss, dup, reorder, corrupt;
    bool cut;
    uint64_t prng;
    int64_t last_due_us, free_at_us; /* of the frame before; when the line is free again (kbps) */
    uint64_t sent, lost, duplicated, reordered, corrupted, dropped_cut, full;
};

struct frame {
    int64_t due_us;
    uint64_t no; /* frames due at the same time leave as they came */
    unsigned to;
    uint32_t size;
    uint8_t bytes[FRAME_MAX];
};

static unsigned ports;
static int taps[PORTS_MAX + 1], spaces[PORTS_MAX + 1];
static struct link links[PORTS_MAX + 1][PORTS_MAX + 1];
static struct frame *heap[QUEUE_MAX];
static unsigned waiting;
static uint64_t frames_made;

static void die(const char *what)
{
    fprintf(stderr, "switch: %s: %s\n", what, strerror(errno));
    exit(2);
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* splitmix64 */
static uint64_t draw(uint64_t *s)
{
    uint64_t z = *s += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double draw_unit(uint64_t *s)
{
    return (double)(draw(s) >> 11) / 9007199254740992.0;
}

/* -- frames that wait ------------------------------------------------------------------------------------------ */

static bool before(const struct frame *a, const struct frame *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->no < b->no;
}

static bool heap_put(struct frame *f)
{
    if (waiting == QUEUE_MAX) return false;
    unsigned i = waiting++;
    for (; i > 0 && before(f, heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = f;
    return true;
}

static struct frame *heap_take(void)
{
    struct frame *first = heap[0], *last = heap[--waiting];
    unsigned i = 0;
    for (;;) {
        unsigned c = 2 * i + 1;
        if (c >= waiting) break;
        if (c + 1 < waiting && before(heap[c + 1], heap[c])) c++;
        if (!before(heap[c], last)) break;
        heap[i] = heap[c];
        i = c;
    }
    heap[i] = last;
    return first;
}

static void enqueue(struct link *l, unsigned to, const uint8_t *bytes, uint32_t size, int64_t due_us)
{
    struct frame *f = malloc(sizeof *f);
    if (!f) die("memory");
    f->due_us = due_us;
    f->no = frames_made++;
    f->to = to;
    f->size = size;
    memcpy(f->bytes, bytes, size);
    if (heap_put(f)) return;
    l->full++;
    free(f);
}

/* What a direction does to a frame. */
static void pass(unsigned from, unsigned to, uint8_t *bytes, uint32_t size)
{
    struct link *l = &links[from][to];
    double loss = draw_unit(&l->prng), dup = draw_unit(&l->prng), reorder = draw_unit(&l->prng);
    double corrupt = draw_unit(&l->prng);
    uint64_t more = draw(&l->prng);
    l->sent++;
    if (l->cut) {
        l->dropped_cut++;
        return;
    }
    if (loss < l->loss) {
        l->lost++;
        return;
    }
    int64_t due = now_us();
    if (l->kbps > 0) {
        if (due < l->free_at_us) due = l->free_at_us;
        due += (int64_t)size * 8000 / l->kbps;
        l->free_at_us = due;
    }
    due += l->delay_us + (l->jitter_us > 0 ? (int64_t)(more % (uint64_t)l->jitter_us) : 0);
    uint8_t was = 0;
    uint32_t at = 14 + (uint32_t)(more >> 32) % (size - 14); /* the Ethernet head has no checksum */
    if (corrupt < l->corrupt) {
        was = (uint8_t)(1u << (more & 7));
        bytes[at] ^= was;
        l->corrupted++;
    }
    if (reorder < l->reorder) {
        l->reordered++;
        enqueue(l, to, bytes, size, due + l->reorder_us);
    } else {
        if (due < l->last_due_us) due = l->last_due_us;
        l->last_due_us = due;
        enqueue(l, to, bytes, size, due);
    }
    if (dup < l->dup) {
        l->duplicated++;
        enqueue(l, to, bytes, size, due);
    }
    bytes[at] ^= was;
}

static void receive(unsigned from)
{
    uint8_t bytes[FRAME_MAX];
    for (unsigned k = 0; k < BURST; k++) {
        ssize_t n = read(taps[from], bytes, sizeof bytes);
        if (n <= 14) return;
        if (bytes[12] != 8 || bytes[13] != 0) continue; /* not IPv4 */
        unsigned to = bytes[5];
        if (bytes[0] == 2 && bytes[1] == 0x77 && to >= 1 && to <= ports && to != from) pass(from, to, bytes, (uint32_t)n);
    }
}

static void deliver(void)
{
    int64_t now = now_us();
    while (waiting > 0 && heap[0]->due_us <= now) {
        struct frame *f = heap_take();
        /* A receiver that is down loses its frames, as on any wire. */
        ssize_t n = write(taps[f->to], f->bytes, f->size);
        (void)n;
        free(f);
    }
}

/* -- ports ----------------------------------------------------------------------------------------------------- */

static void address(struct sockaddr *to, unsigned port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a4d0000u + port) };
    memcpy(to, &in, sizeof in);
}

static void hardware(struct sockaddr *to, unsigned port)
{
    const uint8_t mac[6] = { 2, 0x77, 0, 0, 0, (uint8_t)port };
    memset(to, 0, sizeof *to);
    to->sa_family = ARPHRD_ETHER;
    memcpy(to->sa_data, mac, 6);
}

static void request(int s, unsigned long what, struct ifreq *r, const char *said)
{
    if (ioctl(s, what, r) != 0) die(said);
}

/* This thread goes into a new namespace and leaves it with the next port; what holds it is the descriptor. */
static void port_make(unsigned port)
{
    if (unshare(CLONE_NEWNET) != 0) die("a network namespace");
    spaces[port] = open("/proc/self/ns/net", O_RDONLY);
    taps[port] = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (spaces[port] < 0 || taps[port] < 0 || s < 0) die("/dev/net/tun");
    struct ifreq r = { .ifr_name = "eth0" };
    r.ifr_flags = IFF_TAP | IFF_NO_PI;
    request(taps[port], TUNSETIFF, &r, "a TAP device");
    hardware(&r.ifr_hwaddr, port);
    request(s, SIOCSIFHWADDR, &r, "its MAC");
    address(&r.ifr_addr, port);
    request(s, SIOCSIFADDR, &r, "its address");
    address(&r.ifr_netmask, 0);
    ((struct sockaddr_in *)&r.ifr_netmask)->sin_addr.s_addr = htonl(0xffffff00u);
    request(s, SIOCSIFNETMASK, &r, "its netmask");
    r.ifr_flags = IFF_UP | IFF_RUNNING;
    request(s, SIOCSIFFLAGS, &r, "to bring it up");
    struct ifreq lo = { .ifr_name = "lo" };
    lo.ifr_flags = IFF_UP | IFF_RUNNING;
    request(s, SIOCSIFFLAGS, &lo, "to bring the loopback up");
    for (unsigned other = 1; other <= ports; other++) {
        struct arpreq a = { .arp_flags = ATF_COM | ATF_PERM, .arp_dev = "eth0" };
        address(&a.arp_pa, other);
        hardware(&a.arp_ha, other);
        if (other != port && ioctl(s, SIOCSARP, &a) != 0) die("a neighbour");
    }
    close(s);
}

/* -- commands -------------------------------------------------------------------------------------------------- */

static bool set(struct link *l, const char *key, const char *value)
{
    char *end;
    double v = strtod(value, &end);
    if (*end || end == value || !(v >= 0)) return false;
    struct { const char *name; int64_t *n; double *p; } keys[] = {
        { "delay_us", &l->delay_us, NULL }, { "jitter_us", &l->jitter_us, NULL }, { "reorder_us", &l->reorder_us, NULL },
        { "kbps", &l->kbps, NULL }, { "loss", NULL, &l->loss }, { "dup", NULL, &l->dup }, { "reorder", NULL, &l->reorder },
        { "corrupt", NULL, &l->corrupt },
    };
    if (strcmp(key, "cut") == 0) return l->cut = v != 0, true;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(key, keys[i].name) != 0) continue;
        if (keys[i].n ? v > 60e6 : v > 1) return false;
        if (keys[i].n) *keys[i].n = (int64_t)v;
        else *keys[i].p = v;
        return true;
    }
    return false;
}

/* 0 for *; false when there is no such port. */
static bool port_of(const char *word, unsigned *port)
{
    char *end;
    *port = 0;
    if (!word) return false;
    if (strcmp(word, "*") == 0) return true;
    *port = (unsigned)strtoul(word, &end, 10);
    return !*end && *port >= 1 && *port <= ports;
}

static bool set_links(unsigned from, unsigned to, char **save)
{
    for (char *pair; (pair = strtok_r(NULL, " ", save));) {
        char *value = strchr(pair, '=');
        if (!value) return false;
        *value++ = 0;
        for (unsigned i = 1; i <= ports; i++)
            for (unsigned j = 1; j <= ports; j++)
                if ((!from || i == from) && (!to || j == to) && !set(&links[i][j], pair, value)) return false;
    }
    return true;
}

static void command(char *line)
{
    char *save = NULL, *verb = strtok_r(line, " ", &save);
    unsigned from, to;
    bool known = verb && port_of(strtok_r(NULL, " ", &save), &from) && port_of(strtok_r(NULL, " ", &save), &to);
    if (known && strcmp(verb, "link") == 0 && set_links(from, to, &save)) {
        puts("ok");
    } else if (known && strcmp(verb, "stats") == 0 && from && to) {
        const struct link *l = &links[from][to];
        printf("stats sent=%" PRIu64 " lost=%" PRIu64 " duplicated=%" PRIu64 " reordered=%" PRIu64 " corrupted=%" PRIu64
               " cut=%" PRIu64 " full=%" PRIu64 "\n",
               l->sent, l->lost, l->duplicated, l->reordered, l->corrupted, l->dropped_cut, l->full);
    } else {
        puts("error: link FROM TO KEY=VALUE... or stats FROM TO");
    }
    fflush(stdout);
}

/* False at the end of input. */
static bool commands(void)
{
    static char line[LINE_MAX_BYTES];
    static size_t have;
    ssize_t n = read(0, line + have, sizeof line - 1 - have);
    if (n <= 0) return false;
    have += (size_t)n;
    for (char *end; (end = memchr(line, '\n', have));) {
        *end = 0;
        size_t used = (size_t)(end - line) + 1;
        command(line);
        memmove(line, line + used, have -= used);
    }
    return have < sizeof line - 1; /* a line without an end is none */
}

static void serve(void)
{
    struct pollfd p[PORTS_MAX + 1] = { { .fd = 0, .events = POLLIN } };
    for (unsigned i = 1; i <= ports; i++)
        p[i] = (struct pollfd){ .fd = taps[i], .events = POLLIN };
    for (;;) {
        int64_t left = waiting ? heap[0]->due_us - now_us() : 1000000;
        struct timespec t = { .tv_nsec = left > 0 && left < 1000000 ? left * 1000 : left > 0 ? 999999999 : 0 };
        if (ppoll(p, ports + 1, &t, NULL) < 0 && errno != EINTR) die("poll");
        deliver();
        for (unsigned i = 1; i <= ports; i++)
            if (p[i].revents & POLLIN) receive(i);
        if ((p[0].revents & (POLLIN | POLLHUP)) && !commands()) return;
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--ports") == 0) ports = (unsigned)strtoul(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--seed") == 0) seed = strtoull(argv[i + 1], NULL, 10);
    }
    if (argc % 2 == 0 || ports < 2 || ports > PORTS_MAX) {
        fprintf(stderr, "usage: switch --ports 2..%d [--seed S]\n", PORTS_MAX);
        return 2;
    }
    for (unsigned i = 1; i <= ports; i++)
        for (unsigned j = 1; j <= ports; j++)
            links[i][j].prng = seed ^ draw(&(uint64_t){ i * 256 + j });
    for (unsigned i = 1; i <= ports; i++)
        port_make(i);
    printf("ready %d", (int)getpid());
    for (unsigned i = 1; i <= ports; i++)
        printf(" %d", spaces[i]);
    puts("");
    fflush(stdout);
    serve();
    return 0;
}
