/* The simulator's hosts and network: streams keep their order and their bytes over cuts and breaks, peers learn of crashes
 * and kills as they would, datagrams are lost, doubled and late, disks outlive their hosts, and all of it happens again from the same seed. */
#include "base/core/log.h"
#include "base/core/prng.h"
#include "base/rt/dgram.h"
#include "base/rt/file.h"
#include "base/rt/sim.h"
#include "base/rt/sock.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <string.h>

enum { PORT = 7947, ECHOED = 300000 };

/* -- a server of echoes ------------------------------------------------------------------------------- */
static void echo_data(struct sock *s, const uint8_t *bytes, size_t n)
{
    sock_send(s, bytes, n);
}

static void echo_closed(struct sock *s, int os_errno)
{
    (void)s;
    (void)os_errno;
}

static const struct sock_ops echo_ops = { .on_data = echo_data, .on_closed = echo_closed };

static void echo_accept(struct sock *s, void *ctx)
{
    (void)ctx;
    sock_set(s, &echo_ops, NULL);
}

static err_t listen_here(void *arg)
{
    struct sock_listener *l;
    (void)arg;
    return sock_listen("0.0.0.0", PORT, echo_accept, NULL, &l);
}

static err_t serve_for_ever(void *arg)
{
    struct event never;
    void *args[8] = { arg };
    CHECK(rt_call_all(RT_INGEST, listen_here, args, NULL) == OK);
    event_init(&never);
    return event_wait(&never);
}

static unsigned echo_host(unsigned cores)
{
    unsigned h = sim_host_new(NULL, NULL);
    sim_host_start(h, cores, serve_for_ever, NULL);
    CHECK(fiber_sleep(10 * NS_PER_MS) == OK);
    return h;
}

static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 31 + i / 251);
}

/* Sends n bytes from `at` on, and reads them again. */
static err_t echo(struct tcp *t, uint64_t from, size_t n)
{
    uint8_t bytes[2048];
    for (size_t done = 0; done < n;) {
        size_t part = MIN(n - done, sizeof bytes), got;
        for (size_t i = 0; i < part; i++)
            bytes[i] = byte_at(from + done + i);
        TRY(tcp_send(t, bytes, part));
        for (size_t back = 0; back < part; back += got) {
            TRY(tcp_recv(t, bytes, part - back, &got));
            if (!got) return err_set(ERR_IO, "the stream ended");
            for (size_t i = 0; i < got; i++)
                CHECK(bytes[i] == byte_at(from + done + back + i));
        }
        done += part;
    }
    return OK;
}

static err_t connect_to(unsigned host, struct tcp **t)
{
    char addr[SIM_ADDR_MAX];
    sim_host_addr(host, addr);
    return tcp_connect(addr, PORT, t);
}

/* -- streams ------------------------------------------------------------------------------------------- */
static err_t streams(void *arg)
{
    struct tcp *t;
    (void)arg;
    unsigned h = echo_host(2);
    CHECK(connect_to(h, &t) == OK);
    CHECK(echo(t, 0, ECHOED) == OK);
    tcp_close(t);
    CHECK(tcp_connect("10.0.0.99", PORT, &t) != OK);         /* no such host: silence */
    mono_ns before = rt_now();
    CHECK(tcp_connect("10.0.0.2", PORT + 1, &t) != OK);      /* nobody listens: at once */
    CHECK(rt_now().ns - before.ns < 10 * NS_PER_MS);
    /* A short cut delays and loses nothing. */
    CHECK(connect_to(h, &t) == OK);
    sim_net_cut(0, h, true);
    CHECK(tcp_send(t, "abc", 3) == OK);
    CHECK(fiber_sleep(5 * NS_PER_S) == OK);
    sim_net_cut(0, h, false);
    char back[3];
    CHECK(tcp_recv_all(t, back, 3) == OK && memcmp(back, "abc", 3) == 0);
    /* A long one breaks. */
    sim_net_cut(0, h, true);
    before = rt_now();
    CHECK(tcp_send(t, "abc", 3) == OK && tcp_recv_all(t, back, 3) == ERR_IO);
    CHECK(rt_now().ns - before.ns > 50 * NS_PER_S);
    tcp_close(t);
    sim_net_cut(0, h, false);
    return OK;
}

static err_t recv_result(struct tcp *t, int64_t within_ns)
{
    char c;
    size_t n;
    fiber_set_deadline(mono_add(rt_now(), within_ns));
    err_t e = tcp_recv(t, &c, 1, &n);
    fiber_set_deadline((mono_ns){ 0 });
    return e == OK && !n ? ERR_IO : e;
}

/* A killed process resets its connections; a host without power is silent until it is back. */
static err_t ends_of_hosts(void *arg)
{
    struct tcp *t;
    (void)arg;
    unsigned h = echo_host(1);
    CHECK(connect_to(h, &t) == OK && echo(t, 0, 10) == OK);
    sim_host_kill(h);
    CHECK(recv_result(t, NS_PER_S) == ERR_IO);
    tcp_close(t);
    CHECK(!sim_host_on(h) && sim_host_last(h)->crashed);
    sim_host_start(h, 1, serve_for_ever, NULL);
    CHECK(fiber_sleep(10 * NS_PER_MS) == OK);
    CHECK(connect_to(h, &t) == OK && echo(t, 0, 10) == OK);
    sim_host_crash(h);
    CHECK(recv_result(t, 10 * NS_PER_S) == ERR_TIMEOUT);
    CHECK(tcp_send(t, "x", 1) == OK);
    CHECK(fiber_sleep(3 * NS_PER_S) == OK);
    sim_host_start(h, 1, serve_for_ever, NULL);
    CHECK(recv_result(t, NS_PER_S) == ERR_IO);
    tcp_close(t);
    /* A pause is only slow. */
    CHECK(connect_to(h, &t) == OK);
    sim_host_pause(h, 7 * NS_PER_S);
    mono_ns before = rt_now();
    CHECK(echo(t, 0, 100) == OK && rt_now().ns - before.ns > 6 * NS_PER_S);
    tcp_close(t);
    return OK;
}

/* Back-pressure: what a peer does not read stops the sender. */
static void deaf_accept(struct sock *s, void *ctx)
{
    (void)ctx;
    sock_set(s, &echo_ops, NULL);
    sock_pause_recv(s);
}

static err_t deaf(void *arg)
{
    struct sock_listener *l;
    struct event never;
    (void)arg;
    CHECK(sock_listen("0.0.0.0", PORT, deaf_accept, NULL, &l) == OK);
    event_init(&never);
    return event_wait(&never);
}

static err_t back_pressure(void *arg)
{
    static const uint8_t zeros[65536];
    struct tcp *t;
    err_t e = OK;
    size_t sent = 0;
    (void)arg;
    unsigned h = sim_host_new(NULL, NULL);
    sim_host_start(h, 1, deaf, NULL);
    CHECK(fiber_sleep(10 * NS_PER_MS) == OK);
    CHECK(connect_to(h, &t) == OK);
    fiber_set_deadline(mono_add(rt_now(), NS_PER_S));
    for (; e == OK && sent < 64 << 20; sent += sizeof zeros)
        e = tcp_send(t, zeros, sizeof zeros);
    fiber_set_deadline((mono_ns){ 0 });
    CHECK(e == ERR_TIMEOUT && sent < 4 << 20);
    tcp_close(t);
    return OK;
}

/* -- a storm: connections break; what came was right ------------------------------------------------------- */
static err_t storm(void *arg)
{
    static const struct sim_net bad = { .reset = 0.01, .slow = 0.05, .late_ns = 100 * NS_PER_MS };
    unsigned hosts[3], broken = 0, *whole = arg;
    for (unsigned i = 0; i < ARRAY_LEN(hosts); i++)
        hosts[i] = echo_host(1 + i);
    sim_net_set(&bad);
    for (unsigned i = 0; i < 60; i++) {
        struct tcp *t;
        if (connect_to(hosts[i % 3], &t) != OK) continue;
        if (echo(t, i, 20000) == OK) ++*whole;
        else broken++;
        tcp_close(t);
    }
    CHECK(broken > 0 && *whole > 0);
    return OK;
}

/* -- datagrams --------------------------------------------------------------------------------------------- */
static unsigned came[1000];
static unsigned out_of_order, last_came;

static void on_number(struct dgram *d, const struct io_addr *from, const uint8_t *bytes, size_t n)
{
    uint32_t i;
    CHECK(n == sizeof i && dgram_user(d) == &came);
    memcpy(&i, bytes, sizeof i);
    came[i]++;
    out_of_order += i < last_came;
    last_came = i;
    dgram_send(d, from, bytes, n);
}

static err_t datagram_host(void *arg)
{
    struct dgram *d;
    struct event never;
    (void)arg;
    CHECK(dgram_open("0.0.0.0", PORT, on_number, &came, &d) == OK && dgram_port(d) == PORT);
    event_init(&never);
    return event_wait(&never);
}

static unsigned answers;
static void on_answer(struct dgram *d, const struct io_addr *from, const uint8_t *bytes, size_t n)
{
    char name[IO_ADDR_NAME_MAX];
    (void)d;
    (void)bytes;
    CHECK(n == 4);
    io_addr_name(from, name, sizeof name);
    CHECK(strcmp(name, "10.0.0.2:7947") == 0);
    answers++;
}

static err_t datagrams(void *arg)
{
    struct io_addr to;
    struct dgram *d;
    (void)arg;
    memset(came, 0, sizeof came);
    answers = out_of_order = last_came = 0;
    unsigned h = sim_host_new(NULL, NULL);
    sim_host_start(h, 1, datagram_host, NULL);
    sim_net_set(&(struct sim_net){ .loss = 0.2, .twice = 0.1, .late = 0.1 });
    CHECK(dgram_open("0.0.0.0", 0, on_answer, NULL, &d) == OK && dgram_port(d) != 0);
    CHECK(io_addr_parse("10.0.0.2", PORT, &to) == OK);
    for (uint32_t i = 0; i < ARRAY_LEN(came); i++) {
        dgram_send(d, &to, &i, sizeof i);
        CHECK(fiber_sleep(NS_PER_MS) == OK);
        if (i == 500) sim_net_cut(h, 0, true);
    }
    CHECK(fiber_sleep(3 * NS_PER_S) == OK);
    unsigned never = 0, twice = 0;
    for (unsigned i = 0; i < ARRAY_LEN(came); i++) {
        never += came[i] == 0;
        twice += came[i] > 1;
    }
    CHECK(never > 100 && never < 300 && twice > 20 && out_of_order > 20);
    CHECK(answers > 200 && answers < 500);
    dgram_close(d);
    return OK;
}

/* -- disks --------------------------------------------------------------------------------------------------- */
static err_t write_then_wait(void *arg)
{
    struct file f;
    struct event never;
    (void)arg;
    TRY(fs_mkdirs("/data"));
    TRY(file_open(&f, "/data/a", FILE_READ | FILE_WRITE | FILE_CREATE));
    TRY(file_write_sync(&f, "synced", 6, 0));
    TRY(fs_sync_dir("/data"));
    TRY(file_write(&f, "LOST!!", 6, 6));
    event_init(&never);
    return event_wait(&never);
}

static err_t look(void *arg)
{
    struct file f;
    char bytes[12] = "";
    size_t *n = arg;
    TRY(file_open(&f, "/data/a", FILE_READ));
    err_t e = file_read(&f, bytes, 6, 0, NULL);
    CHECK(e == OK && memcmp(bytes, "synced", 6) == 0);
    uint64_t size;
    CHECK(file_size(&f, &size) == OK);
    *n = (size_t)size;
    file_close(&f);
    return OK;
}

static err_t disks(void *arg)
{
    struct sim_disk **d = arg;
    size_t n = 0;
    unsigned h = sim_host_new(*d, NULL);
    sim_host_start(h, 1, write_then_wait, NULL);
    CHECK(fiber_sleep(NS_PER_S) == OK);
    sim_host_kill(h);
    CHECK(fiber_sleep(NS_PER_MS) == OK);
    sim_host_start(h, 1, look, &n);
    CHECK(fiber_sleep(NS_PER_S) == OK);
    CHECK(!sim_host_on(h) && sim_host_last(h)->result == OK && n == 12);
    return OK;
}

/* -------------------------------------------------------------------------------------------------------------- */
static uint64_t world(uint64_t seed, err_t (*script)(void *), void *arg, struct sim_net_stats *net)
{
    struct sim_result r;
    sim_world_run(seed, 0, script, arg, &r, net);
    CHECK(!r.crashed && !r.stuck && r.result == OK);
    return r.trace_hash;
}

int main(void)
{
    struct sim_net_stats net;
    struct sim_disk *d = sim_disk_new(1 << 20);
    log_init(LOG_ERROR, false);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        unsigned whole[2] = { 0 };
        world(seed, streams, NULL, &net);
        CHECK(net.refused >= 2 && net.over_cuts > 0 && net.timeouts > 0);
        world(seed, ends_of_hosts, NULL, NULL);
        world(seed, datagrams, NULL, &net);
        CHECK(net.lost && net.twice && net.late);
        CHECK(world(seed, storm, &whole[0], &net) == world(seed, storm, &whole[1], NULL) && whole[0] == whole[1]);
        CHECK(net.resets && net.slow);
    }
    world(1, back_pressure, NULL, NULL);
    world(1, disks, &d, NULL);
    sim_disk_free(d);
    fprintf(stderr, "sim_net_plain: passed\n");
    return 0;
}
