/* The runtime on both real backends: fibers, waiting, messages between cores, files, sockets. */
#include "base/core/errinj.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/rt/file.h"
#include "base/rt/sock.h"
#include "tests/unit/check.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct fiber_opts plain = { .name = "test", .class = RT_INGEST };

/* -- fibers ------------------------------------------------------------------------------------------ */
static int order[16], norder;

static void note(void *arg)
{
    int *base = arg;
    for (int i = 0; i < 3; i++) {
        order[norder++] = *base + i;
        fiber_yield();
    }
}

static void test_yield(void)
{
    struct scope s;
    int a = 0, b = 10;
    norder = 0;
    scope_init(&s, NULL);
    CHECK(fiber_start(&s, &plain, note, &a) == OK);
    CHECK(fiber_start(&s, &plain, note, &b) == OK);
    CHECK(norder == 0);
    CHECK(scope_join(&s) == OK);
    scope_deinit(&s);
    static const int want[] = { 0, 10, 1, 11, 2, 12 };
    CHECK(norder == 6 && memcmp(order, want, sizeof want) == 0);
}

static void sleeper(void *arg)
{
    err_t *e = arg;
    *e = fiber_sleep(3600 * NS_PER_S);
}

static void sub_sleeper(void *arg)
{
    struct scope inner;
    err_t *e = arg;
    scope_init(&inner, fiber_scope());
    CHECK(fiber_start(&inner, &plain, sleeper, e) == OK);
    CHECK(scope_join(&inner) == OK);
    scope_deinit(&inner);
}

static void test_cancel_and_deadline(void)
{
    struct scope s;
    err_t a = OK, b = OK, c = OK;
    scope_init(&s, NULL);
    CHECK(fiber_start(&s, &plain, sleeper, &a) == OK);
    CHECK(fiber_start(&s, &plain, sub_sleeper, &b) == OK);
    struct fiber_opts timed = plain;
    timed.deadline = mono_add(rt_now(), 5 * NS_PER_MS);
    CHECK(fiber_start(&s, &timed, sleeper, &c) == OK);
    CHECK(fiber_sleep(20 * NS_PER_MS) == OK);
    CHECK(c == ERR_TIMEOUT && a == OK && b == OK);
    scope_fail(&s, ERR_LIMIT);
    CHECK(scope_join(&s) == ERR_LIMIT);
    CHECK(a == ERR_CANCELED && b == ERR_CANCELED);
    scope_deinit(&s);

    mono_ns before = rt_now();
    CHECK(fiber_sleep(2 * NS_PER_MS) == OK);
    CHECK(rt_now().ns - before.ns >= 2 * NS_PER_MS);
    fiber_set_deadline(mono_add(rt_now(), NS_PER_MS));
    CHECK(fiber_sleep(NS_PER_S) == ERR_TIMEOUT);
    CHECK(rt_checkpoint() == ERR_TIMEOUT);
    CHECK(strstr(err_detail(), "main"));
    fiber_set_deadline((mono_ns){ 0 });
    CHECK(rt_checkpoint() == OK);
}

static void error_keeper(void *arg)
{
    char text[32];
    snprintf(text, sizeof text, "mine is %d", *(int *)arg);
    (void)err_set(ERR_INVALID, "%s", text);
    fiber_yield();
    CHECK(strcmp(err_detail(), text) == 0);
}

static void test_error_records(void)
{
    struct scope s;
    int a = 1, b = 2;
    scope_init(&s, NULL);
    CHECK(fiber_start(&s, &plain, error_keeper, &a) == OK);
    CHECK(fiber_start(&s, &plain, error_keeper, &b) == OK);
    CHECK(scope_join(&s) == OK);
    scope_deinit(&s);
}

static void nothing(void *arg)
{
    (void)arg;
    CHECK(fiber_sleep(1) == OK);
}

static void test_limit_of_fibers(void)
{
    struct scope s;
    scope_init(&s, NULL);
    unsigned n = 0;
#ifdef TERCET_DEBUG
    errinj_arm(EI_FIBER_START, 2);
    CHECK(fiber_start(&s, &plain, nothing, NULL) == OK);
    CHECK(fiber_start(&s, &plain, nothing, NULL) == ERR_OVERLOAD);
    CHECK(strcmp(errinj_name(EI_FIBER_START), "EI_FIBER_START") == 0);
#endif
    while (fiber_start(&s, &plain, nothing, NULL) == OK)
        n++;
    CHECK(n > 4000 && n <= 4096);
    CHECK(scope_join(&s) == OK);
    scope_deinit(&s);
}

/* -- waiting --------------------------------------------------------------------------------------- */
static struct event ev;
static struct sem sem;
static struct gate gate;
static int woken, taken;

static void waiter(void *arg)
{
    (void)arg;
    CHECK(event_wait(&ev) == OK);
    woken++;
}

static void taker(void *arg)
{
    int64_t n = *(int64_t *)arg;
    CHECK(sem_take(&sem, n) == OK);
    taken += (int)n;
    CHECK(fiber_sleep(NS_PER_MS) == OK);
    sem_give(&sem, n);
}

static void visitor(void *arg)
{
    (void)arg;
    CHECK(gate_enter(&gate));
    CHECK(fiber_sleep(3 * NS_PER_MS) == OK);
    woken++;
    gate_leave(&gate);
}

static void test_waiting(void)
{
    struct scope s;
    scope_init(&s, NULL);
    event_init(&ev);
    for (int i = 0; i < 5; i++)
        CHECK(fiber_start(&s, &plain, waiter, NULL) == OK);
    fiber_yield();
    CHECK(woken == 0);
    CHECK(event_wait_until(&ev, mono_add(rt_now(), NS_PER_MS)) == ERR_TIMEOUT);
    event_signal(&ev);
    CHECK(scope_join(&s) == OK && woken == 5);
    CHECK(event_wait(&ev) == OK);

    rt_sem_init(&sem, 4);
    static int64_t needs[] = { 3, 4, 1, 1, 2 };
    for (unsigned i = 0; i < ARRAY_LEN(needs); i++)
        CHECK(fiber_start(&s, &plain, taker, &needs[i]) == OK);
    fiber_yield();
    CHECK(taken == 3); /* 4 waits, and the small ones behind it too */
    CHECK(!sem_try(&sem, 1));
    CHECK(scope_join(&s) == OK && taken == 11 && sem.free == 4);

    gate_init(&gate);
    woken = 0;
    for (int i = 0; i < 3; i++)
        CHECK(fiber_start(&s, &plain, visitor, NULL) == OK);
    fiber_yield();
    gate_close(&gate);
    CHECK(woken == 3 && !gate_enter(&gate));
    CHECK(scope_join(&s) == OK);
    scope_deinit(&s);
}

static int fired[4], nfired;
static struct timer timers[4];

static void on_timer(struct timer *t)
{
    fired[nfired++] = (int)(t - timers);
}

static void test_timers(void)
{
    nfired = 0;
    static const int delay_ms[] = { 4, 1, 3, 2 };
    for (int i = 0; i < 4; i++)
        timer_arm(&timers[i], mono_add(rt_now(), delay_ms[i] * NS_PER_MS), on_timer);
    timer_disarm(&timers[2]);
    CHECK(fiber_sleep(8 * NS_PER_MS) == OK);
    CHECK(nfired == 3 && fired[0] == 1 && fired[1] == 3 && fired[2] == 0);
}

/* -- cores ------------------------------------------------------------------------------------------- */
static err_t add_one(void *arg)
{
    ++*(uint64_t *)arg;
    return OK;
}

static err_t fail_there(void *arg)
{
    (void)arg;
    return err_set(ERR_NOT_FOUND, "core %u has none", rt_core());
}

static err_t sleep_there(void *arg)
{
    (void)arg;
    return fiber_sleep(3600 * NS_PER_S);
}

static void call_sleeper(void *arg)
{
    err_t *e = arg;
    *e = rt_call(rt_cores() - 1, RT_QUERY, sleep_there, NULL);
}

static _Atomic int posted;
static void on_post(void *arg)
{
    (void)arg;
    atomic_fetch_add(&posted, 1);
}

static void *foreign_thread(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        rt_post_foreign((unsigned)i % 2, on_post, NULL);
    return NULL;
}

static void caller(void *arg)
{
    for (int i = 0; i < 200; i++) {
        uint64_t before = *(uint64_t *)arg;
        CHECK(rt_call(1, RT_INGEST, add_one, arg) == OK);
        CHECK(*(uint64_t *)arg == before + 1);
    }
}

static void test_cores(void)
{
    CHECK(rt_cores() == 2);
    struct scope s;
    uint64_t counts[20] = { 0 };
    scope_init(&s, NULL);
    for (int i = 0; i < 20; i++)
        CHECK(fiber_start(&s, &plain, caller, &counts[i]) == OK);
    CHECK(scope_join(&s) == OK);
    for (int i = 0; i < 20; i++)
        CHECK(counts[i] == 200);

    err_t errs[2];
    uint64_t a = 0, b = 0;
    void *args[2] = { &a, &b };
    CHECK(rt_call_all(RT_QUERY, add_one, args, NULL) == OK && a == 1 && b == 1);
    CHECK(rt_call_all(RT_QUERY, fail_there, args, errs) == ERR_NOT_FOUND);
    CHECK(errs[0] == ERR_NOT_FOUND && errs[1] == ERR_NOT_FOUND);
    CHECK(strcmp(err_detail(), "core 0 has none") == 0);
    CHECK(rt_call(1, RT_QUERY, fail_there, NULL) == ERR_NOT_FOUND);
    CHECK(strcmp(err_detail(), "core 1 has none") == 0);

    err_t e = OK;
    CHECK(fiber_start(&s, &plain, call_sleeper, &e) == OK);
    CHECK(fiber_sleep(2 * NS_PER_MS) == OK);
    scope_cancel(&s);
    CHECK(scope_join(&s) == OK && e == ERR_CANCELED);
    scope_deinit(&s);

    fiber_set_deadline(mono_add(rt_now(), 3 * NS_PER_MS));
    CHECK(rt_call(1, RT_QUERY, sleep_there, NULL) == ERR_TIMEOUT);
    fiber_set_deadline((mono_ns){ 0 });

    atomic_store(&posted, 0);
    for (int i = 0; i < 2000; i++)
        rt_post((unsigned)i % 2, on_post, NULL);
    pthread_t t;
    CHECK(pthread_create(&t, NULL, foreign_thread, NULL) == 0);
    for (int i = 0; i < 5000 && atomic_load(&posted) < 3000; i++)
        CHECK(fiber_sleep(NS_PER_MS) == OK);
    pthread_join(t, NULL);
    CHECK(atomic_load(&posted) == 3000);
}

static err_t blocking(void *arg)
{
    usleep(2000);
    CHECK(!rt_in_fiber());
    return arg ? err_set(ERR_LIMIT, "too much") : OK;
}

static void offloader(void *arg)
{
    (void)arg;
    CHECK(rt_offload(blocking, NULL) == OK);
}

static void test_offload(void)
{
    struct scope s;
    scope_init(&s, NULL);
    for (int i = 0; i < 10; i++)
        CHECK(fiber_start(&s, &plain, offloader, NULL) == OK);
    CHECK(rt_offload(blocking, &s) == ERR_LIMIT && strcmp(err_detail(), "too much") == 0);
    CHECK(scope_join(&s) == OK);
    scope_deinit(&s);
}

/* -- files ------------------------------------------------------------------------------------------- */
static void test_files(const char *dir)
{
    char path[300], to[300];
    struct file f;
    char back[64];
    snprintf(path, sizeof path, "%s/a/b/c", dir);
    CHECK(fs_mkdirs(path) == OK);
    CHECK(fs_mkdirs(path) == OK);
    snprintf(path, sizeof path, "%s/a/b/c/temp", dir);
    snprintf(to, sizeof to, "%s/a/b/c/final", dir);
    CHECK(file_open(&f, path, FILE_READ) == ERR_NOT_FOUND);
    CHECK(strstr(err_detail(), path));
    CHECK(file_open(&f, path, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE) == OK);
    CHECK(file_write(&f, "hello world", 11, 0) == OK);
    CHECK(file_write_sync(&f, "WORLD", 5, 6) == OK);
    CHECK(file_sync(&f) == OK);
    CHECK(file_read(&f, back, 11, 0, NULL) == OK && memcmp(back, "hello WORLD", 11) == 0);
    size_t got;
    CHECK(file_read(&f, back, 64, 6, &got) == OK && got == 5);
    CHECK(file_read(&f, back, 64, 6, NULL) == ERR_CORRUPT);
    uint64_t size;
    CHECK(file_size(&f, &size) == OK && size == 11);
    CHECK(file_allocate(&f, 100000) == OK);
    CHECK(file_size(&f, &size) == OK && size == 100000);
    CHECK(file_truncate(&f, 11) == OK);
    CHECK(file_size(&f, &size) == OK && size == 11);
    CHECK(fs_publish(&f, to) == OK);
    file_close(&f);
    file_close(&f);
    CHECK(file_open(&f, to, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE) == ERR_IO);

    struct arena a;
    struct str *names;
    size_t n;
    arena_init(&a, NULL);
    snprintf(path, sizeof path, "%s/a/b/c", dir);
    for (int i = 0; i < 30; i++) {
        char p[400];
        snprintf(p, sizeof p, "%s/n%02d", path, 29 - i);
        CHECK(file_open(&f, p, FILE_WRITE | FILE_CREATE) == OK);
        file_close(&f);
    }
    CHECK(fs_list(path, &a, &names, &n) == OK && n == 31);
    CHECK(str_is(names[0], "final") && str_is(names[1], "n00") && str_is(names[30], "n29"));
    CHECK(fs_list("/nowhere/at/all", &a, &names, &n) == ERR_NOT_FOUND);
    arena_deinit(&a);
    CHECK(fs_unlink(to) == OK);
    CHECK(fs_unlink(to) == OK);
    CHECK(fs_sync_dir(path) == OK);
    struct fs_space sp;
    struct statvfs v;
    CHECK(fs_space(path, &sp) == OK && sp.total_bytes >= sp.free_bytes && sp.total_bytes > 0 && statvfs(path, &v) == 0);
    uint64_t used = (uint64_t)(v.f_blocks - v.f_bfree) * v.f_frsize, told = sp.total_bytes - sp.free_bytes;
    CHECK((used > told ? used - told : told - used) < 64 << 20); /* others may write meanwhile */

    snprintf(path, sizeof path, "%s/direct", dir);
    char *big = aligned_alloc(FILE_ALIGN, 1 << 20);
    CHECK(file_open(&f, path, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_DIRECT) == OK);
    for (int i = 0; i < 1 << 20; i++)
        big[i] = (char)(i * 7 >> 3);
    CHECK(file_write_sync(&f, big, 1 << 20, 0) == OK);
    memset(big, 0, 1 << 20);
    CHECK(file_read(&f, big, 1 << 20, 0, &got) == OK && got == 1 << 20);
    for (int i = 0; i < 1 << 20; i++)
        CHECK(big[i] == (char)(i * 7 >> 3));
    free(big);
    file_close(&f);
}

/* -- sockets ----------------------------------------------------------------------------------------- */
static _Atomic int accepted, closed;

static void echo_data(struct sock *s, const uint8_t *bytes, size_t n)
{
    sock_send(s, bytes, n);
    if (sock_unsent(s) > SOCK_HIGH_WATER) sock_pause_recv(s);
}

static void echo_drained(struct sock *s)
{
    sock_resume_recv(s);
}

static void echo_closed(struct sock *s, int os_errno)
{
    (void)s;
    (void)os_errno;
    atomic_fetch_add(&closed, 1);
}

static const struct sock_ops echo_ops = { .on_data = echo_data, .on_drained = echo_drained,
                                          .on_closed = echo_closed };

static void on_accept(struct sock *s, void *ctx)
{
    char name[SOCK_NAME_MAX];
    sock_set(s, &echo_ops, ctx);
    sock_peer_name(s, name);
    CHECK(strncmp(name, "127.0.0.1:", 10) == 0);
    atomic_fetch_add(&accepted, 1);
}

static uint16_t port;
static struct sock_listener *listeners[2];

static err_t start_listener(void *arg)
{
    (void)arg;
    return sock_listen("127.0.0.1", port, on_accept, NULL, &listeners[rt_core()]);
}

static err_t stop_listener(void *arg)
{
    (void)arg;
    sock_listener_close(listeners[rt_core()]);
    return OK;
}

static void small_client(void *arg)
{
    struct tcp *t;
    char msg[64], back[64];
    CHECK(tcp_connect("127.0.0.1", port, &t) == OK);
    for (int i = 0; i < 20; i++) {
        int n = snprintf(msg, sizeof msg, "message %d of %p", i, arg);
        CHECK(tcp_send(t, msg, (size_t)n) == OK);
        CHECK(tcp_recv_all(t, back, (size_t)n) == OK && memcmp(msg, back, (size_t)n) == 0);
    }
    tcp_close(t);
}

static void big_reader(void *arg)
{
    struct tcp *t = arg;
    uint8_t *back = malloc(1 << 20);
    for (uint64_t done = 0; done < 16 << 20;) {
        size_t got;
        CHECK(tcp_recv(t, back, 1 << 20, &got) == OK && got > 0);
        for (size_t i = 0; i < got; i++)
            CHECK(back[i] == (uint8_t)((done + i) * 13 >> 5));
        done += got;
    }
    free(back);
}

static void big_client(void *arg)
{
    (void)arg;
    struct tcp *t;
    struct scope s;
    uint8_t *bytes = malloc(1 << 20);
    scope_init(&s, NULL);
    CHECK(tcp_connect("127.0.0.1", port, &t) == OK);
    CHECK(fiber_start(&s, &plain, big_reader, t) == OK);
    for (uint64_t k = 0; k < 16; k++) {
        for (uint64_t i = 0; i < 1 << 20; i++)
            bytes[i] = (uint8_t)(((k << 20) + i) * 13 >> 5);
        CHECK(tcp_send(t, bytes, 1 << 20) == OK);
    }
    CHECK(scope_join(&s) == OK);
    scope_deinit(&s);
    tcp_close(t);
    free(bytes);
}

static void test_sockets(void)
{
    struct tcp *t;
    struct scope s;
    atomic_store(&accepted, 0);
    atomic_store(&closed, 0);
    port = 0;
    CHECK(start_listener(NULL) == OK);
    port = sock_listener_port(listeners[0]);
    CHECK(port != 0);
    CHECK(rt_call(1, RT_INGEST, start_listener, NULL) == OK);

    scope_init(&s, NULL);
    for (int i = 0; i < 200; i++)
        CHECK(fiber_start(&s, &plain, small_client, NULL) == OK);
    for (int i = 0; i < 3; i++)
        CHECK(fiber_start(&s, &plain, big_client, NULL) == OK);
    CHECK(scope_join(&s) == OK);
    scope_deinit(&s);
    for (int i = 0; i < 2000 && atomic_load(&closed) < 203; i++)
        CHECK(fiber_sleep(NS_PER_MS) == OK);
    CHECK(atomic_load(&accepted) == 203 && atomic_load(&closed) == 203);

    struct sock_listener *other;
    CHECK(sock_listen("300.0.0.1", 1, on_accept, NULL, &other) == ERR_INVALID);
    CHECK(sock_listen("192.0.2.1", port, on_accept, NULL, &other) == ERR_IO);
    CHECK(strstr(err_detail(), "192.0.2.1"));
    void *none[2] = { NULL, NULL };
    CHECK(rt_call_all(RT_INGEST, stop_listener, none, NULL) == OK);
    CHECK(fiber_sleep(5 * NS_PER_MS) == OK);
    CHECK(tcp_connect("127.0.0.1", port, &t) == ERR_IO);
    CHECK(strstr(err_detail(), "refused"));
}

/* A client that hears nothing is cancelled; a listener and a connection are left to the stop. */
static void test_leftovers(void)
{
    struct tcp *t;
    char c;
    size_t got;
    port = 0;
    CHECK(start_listener(NULL) == OK);
    port = sock_listener_port(listeners[0]);
    CHECK(tcp_connect("127.0.0.1", port, &t) == OK);
    fiber_set_deadline(mono_add(rt_now(), 2 * NS_PER_MS));
    CHECK(tcp_recv(t, &c, 1, &got) == ERR_TIMEOUT);
    fiber_set_deadline((mono_ns){ 0 });
    tcp_close(t);
    struct sock *left;
    static const struct sock_ops silent = { .on_data = echo_data, .on_closed = echo_closed };
    CHECK(sock_connect("127.0.0.1", port, &silent, NULL, &left) == OK);
    sock_send(left, "bye", 3);
}

static char dir[200];

static err_t all(void *arg)
{
    (void)arg;
    CHECK(rt_core() == 0 && rt_in_fiber());
    test_yield();
    test_cancel_and_deadline();
    test_error_records();
    test_waiting();
    test_timers();
    test_limit_of_fibers();
    test_cores();
    test_offload();
    test_files(dir);
    test_sockets();
    test_leftovers();
    return err_set(ERR_LIMIT, "the end");
}

static void on_backend(enum rt_backend b)
{
    char cmd[300];
    struct rt_opts o = { .cores = 2, .backend = b };
    woken = taken = 0;
    snprintf(dir, sizeof dir, "%s/rt-plain-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    CHECK(mkdtemp(dir));
    err_t e = rt_run(&o, all, NULL);
    if (b == RT_URING && e == ERR_UNAVAILABLE) {
        fprintf(stderr, "rt_plain: io_uring part skipped: %s\n", err_detail());
    } else {
        CHECK(e == ERR_LIMIT && strcmp(err_detail(), "the end") == 0);
        CHECK(metric_sum(M_FIBERS) == 0 && metric_sum(M_CONNECTIONS) == 0);
        fprintf(stderr, "rt_plain: passed on %s (%s)\n", rt_backend_name(), rt_backend_reason());
    }
    snprintf(cmd, sizeof cmd, "%s", dir);
    char *argv[] = { (char *)"rm", (char *)"-rf", cmd, NULL };
    pid_t pid = fork();
    if (pid == 0) {
        execvp("rm", argv);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

/* -- a kernel or container that refuses io_uring ------------------------------------------------------- */
static err_t say_backend(void *arg)
{
    (void)arg;
    CHECK(strcmp(rt_backend_name(), "epoll") == 0);
    CHECK(strstr(rt_backend_reason(), "EPERM") && strstr(rt_backend_reason(), "seccomp"));
    return OK;
}

static void check_refused(void)
{
    struct rt_opts any = { .cores = 1 }, forced = { .cores = 1, .backend = RT_URING };
    CHECK(rt_run(&any, say_backend, NULL) == OK);
    CHECK(rt_run(&forced, say_backend, NULL) == ERR_UNAVAILABLE);
    CHECK(strstr(err_detail(), "EPERM") && strstr(err_detail(), "kernel.io_uring_disabled"));
}

static err_t say_fallback(void *arg)
{
    (void)arg;
    CHECK(strcmp(rt_backend_name(), "epoll") == 0 && strstr(rt_backend_reason(), "failed at the start"));
    return err_set(ERR_LIMIT, "the end");
}

static void check_fallback(void)
{
    struct rt_opts any = { .cores = 2 }, forced = { .cores = 2, .backend = RT_URING };
    CHECK(rt_run(&any, say_fallback, NULL) == ERR_LIMIT && strcmp(err_detail(), "the end") == 0);
    CHECK(rt_run(&forced, say_fallback, NULL) == ERR_IO && strstr(err_detail(), "io_uring_setup"));
}

/* io_uring_setup answers os_errno for rings of more than `entries`; in a process of its own. */
static void sandboxed(unsigned entries, int os_errno, void (*check)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        struct sock_filter rules[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
            BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, entries, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)os_errno),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog prog = { .len = ARRAY_LEN(rules), .filter = rules };
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0) {
            fprintf(stderr, "rt_plain: no seccomp here, refusal not tested\n");
            _exit(0);
        }
        check();
        _exit(0);
    }
    int status;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static err_t nothing_at_all(void *arg)
{
    (void)arg;
    return OK;
}

static void test_refused(void)
{
    struct rt_opts forced = { .cores = 1, .backend = RT_URING };
    sandboxed(0, EPERM, check_refused);
    /* The probe's small ring passes, the reactors' do not. */
    if (rt_run(&forced, nothing_at_all, NULL) == OK) sandboxed(64, ENOMEM, check_fallback);
}

int main(void)
{
    log_init(LOG_INFO, false);
    test_refused();
    on_backend(RT_EPOLL);
    on_backend(RT_URING);
    return 0;
}
