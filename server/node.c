#include "server/node.h"

#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/net/http_server.h"
#include "base/rt/file.h"
#include "query/query.h"
#include "server/api/admin.h"
#include "server/api/fragments.h"
#include "server/bucket.h"
#include "server/doors.h"
#include "server/joining.h"
#include "server/key_files.h"
#include "server/limits.h"
#include "storage/disk.h"
#include "storage/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

struct node {
    const struct config *config;
    int lock;                /* of the data directory; -1 = not open */
    struct event stop;       /* on core 0 */
    _Atomic bool disk_failed;
    bool failed;             /* the process must go: why */
    char why[ERR_DETAIL_MAX];
    struct budget bodies, answers, queries;
    struct kv *kv;
    struct object_store *bucket; /* or NULL */
    struct store *store;
    struct cluster *cluster;
    struct key_files *keys;  /* or NULL */
    struct spread_ctx fragments; /* of other nodes' queries */
    struct admin_state admin;
    struct doors doors;
    sigset_t signals;
};

static struct node node;

/* -- the data directory belongs to one process ------------------------------------------------------ */
struct lock {
    const char *dir;
    int fd;
};

static err_t lock_file(void *arg)
{
    struct lock *l = arg;
    char path[1200];
    snprintf(path, sizeof path, "%s/LOCK", l->dir);
    l->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (l->fd < 0 && errno == ENOSPC) l->fd = open(path, O_RDWR | O_CLOEXEC);
    if (l->fd < 0 && (errno == EROFS || errno == EACCES))
        return err_set(ERR_INVALID, "the data directory %s cannot be written (%s): mount it read-write and own it, or give another by "
                       "--data", l->dir, strerror(errno));
    if (l->fd < 0) return err_set_errno(errno, "the data directory %s is not usable", l->dir);
    if (flock(l->fd, LOCK_EX | LOCK_NB) == 0) return OK;
    err_t e = errno == EWOULDBLOCK ? err_set(ERR_INVALID, "another tercet is using the data directory %s", l->dir)
                                   : err_set_errno(errno, "cannot lock %s", path);
    close(l->fd);
    l->fd = -1;
    return e;
}

err_t node_lock(const char *dir, int *fd)
{
    struct lock l = { dir, -1 };
    TRY(fs_mkdirs(dir));
    TRY(rt_offload(lock_file, &l));
    *fd = l.fd;
    return OK;
}

/* -- signals: one thread waits for them and tells core 0 ----------------------------------------------- */
static void stop_now(void *arg)
{
    (void)arg;
    event_signal(&node.stop);
}

static void read_again(void *arg)
{
    (void)arg;
    if (node.keys) key_files_again(node.keys);
    else log_info("node.hup", "nothing is read again: cluster.keys_file is not set, or the node is not up");
}

static void *signal_thread(void *arg)
{
    (void)arg;
    for (int seen = 0;;) {
        int sig = 0;
        if (sigwait(&node.signals, &sig) != 0) continue;
        if (sig == SIGUSR1) return NULL;
        if (sig == SIGHUP) {
            rt_post_foreign(0, read_again, NULL);
            continue;
        }
        if (seen++) _exit(1);
        log_info("node.stop", "signal=%d", sig);
        rt_post_foreign(0, stop_now, NULL);
    }
}

static void give_up(const char *why)
{
    node.failed = true;
    snprintf(node.why, sizeof node.why, "%s", why);
    if (rt_core() == 0)
        event_signal(&node.stop);
    else
        rt_post(0, stop_now, NULL);
}

/* A failed write or sync of the log: acks have stopped already, the process goes. */
static void disk_failed(const char *why)
{
    log_error("node.disk_failed", "why=\"%s\"", why);
    node.disk_failed = true;
    give_up(why);
}

/* Another process has taken this node's id, or the cluster does not take this one. */
static void cluster_failed(void *ctx, const char *why)
{
    (void)ctx;
    log_error("node.cluster_failed", "why=\"%s\"", why);
    give_up(why);
}

static void replay_progress(uint64_t done, uint64_t total)
{
    node.admin.replay_done = done;
    node.admin.replay_total = total;
}

/* -- start and stop --------------------------------------------------------------------------------- */
/* The catalog writes when it is opened: on a full disk it takes what the ballast held. */
static err_t open_catalog(const char *dir, const char *catalog) MAY_YIELD
{
    err_t e = kv_rocks_open(catalog, &node.kv);
    if (e == ERR_NOSPC && disk_ballast_release(dir)) e = kv_rocks_open(catalog, &node.kv);
    return e == ERR_NOSPC ? err_set(e, "the disk of %s is full: free some MB on it and start again", dir) : e;
}

static err_t open_storage(void)
{
    const struct config *c = node.config;
    char catalog[1200];
    snprintf(catalog, sizeof catalog, "%s/catalog", config_text(c, CFG_DATA_DIR));
    TRY(open_catalog(config_text(c, CFG_DATA_DIR), catalog));
    int64_t partitions = config_num(c, CFG_DATA_PARTITIONS);
    if (partitions & (partitions - 1))
        return err_set(ERR_INVALID, "data.partitions: %lld is no power of two", (long long)partitions);
    if (bucket_wanted(c)) TRY(bucket_open(c, &node.bucket));
    if (!node.bucket && (strcmp(config_text(c, CFG_STORAGE_DURABLE), "object") == 0 || config_text(c, CFG_STORAGE_DURABLE_TENANTS)[0]))
        return err_set(ERR_INVALID, "storage.durable or storage.durable_tenants is set, and object.bucket is not");
    struct fs_space disk;
    TRY(fs_space(config_text(c, CFG_DATA_DIR), &disk));
    struct store_opts o = {
        .dir = config_text(c, CFG_DATA_DIR),
        .log_keep_bytes = (int64_t)((double)disk.total_bytes * config_share(c, CFG_CLUSTER_LOG_KEEP_SHARE)),
        .log_keep_ms = config_num(c, CFG_CLUSTER_LOG_KEEP_AGE),
        .kv = node.kv,
        .partitions = (uint32_t)partitions,
        .mem_bytes = config_num(c, CFG_STORAGE_MEMORY),
        .merge_bytes = config_num(c, CFG_STORAGE_MERGE) ? config_num(c, CFG_STORAGE_MERGE_BYTES) : 0,
        .merge_window_ms = config_num(c, CFG_STORAGE_MERGE_WINDOW),
        .merge_memory = config_num(c, CFG_STORAGE_MERGE_MEMORY),
        .seal_age_ms = config_num(c, CFG_STORAGE_SEAL_AGE),
        .commit_bytes = (uint32_t)config_num(c, CFG_STORAGE_COMMIT_BYTES),
        .retention_share = config_share(c, CFG_STORAGE_RETENTION_SHARE),
        .retention_age_ms = config_num(c, CFG_STORAGE_RETENTION_AGE),
        .pause_share = config_share(c, CFG_STORAGE_PAUSE_SHARE),
        .refuse_share = config_share(c, CFG_STORAGE_REFUSE_SHARE),
        .read_only_share = config_share(c, CFG_STORAGE_READ_ONLY_SHARE),
        .ballast_bytes = config_num(c, CFG_STORAGE_BALLAST),
        .scrub_ms = config_num(c, CFG_STORAGE_SCRUB_PERIOD),
        .object = node.bucket,
        .durable = config_text(c, CFG_STORAGE_DURABLE),
        .durable_tenants = config_text(c, CFG_STORAGE_DURABLE_TENANTS),
        .object_takeover = config_num(c, CFG_OBJECT_TAKEOVER) != 0,
        .object_cache_bytes = config_num(c, CFG_OBJECT_CACHE),
        .object_grace_ms = config_num(c, CFG_OBJECT_GRACE),
        .object_upload_after_ms = config_num(c, CFG_OBJECT_UPLOAD_AFTER),
        .on_failed = disk_failed,
        .on_progress = replay_progress,
    };
    return store_open(&o, &node.store);
}

static err_t serve(void)
{
    const struct config *c = node.config;
    const struct http_server_opts so = {
        .body_budget = &node.bodies,
        .answer_budget = &node.answers,
        .connections_max = (uint32_t)config_num(c, CFG_LISTEN_CONNECTIONS_MAX),
        .tenant_check = tenant_check,
        .tenant_default = TENANT_DEFAULT,
    };
    /* One by one: a whole one of them takes kilobytes of the stack. */
    node.doors.config = c;
    node.doors.admin = &node.admin;
    node.doors.query_budget = &node.queries;
    node.doors.ingest_budget = &node.bodies;
    struct http_server *starting = NULL, *server = NULL;
    TRY(doors_open_starting(&node.doors, &so, &starting));
    err_t e = open_storage();
    http_server_stop(starting, 100);
    TRY(e);
    node.doors.store = node.store;
    node.admin.store = node.store;
    node.fragments = (struct spread_ctx){ .store = node.store, .budget = &node.queries, .query_bytes_max = config_num(c, CFG_QUERY_MEMORY_ONE) };
    TRY(joining_open(c, node.store, &node.fragments, cluster_failed, NULL, &node.cluster));
    TRY(key_files_watch(c, node.cluster, &node.keys));
    node.doors.cluster = node.cluster;
    node.admin.cluster = node.cluster;
    TRY(doors_open(&node.doors, &so, &server));
    node.admin.ready = true;
    log_info("node.ready", "backend=%s cores=%u data=%s", rt_backend_name(), rt_cores(),
             config_text(c, CFG_DATA_DIR));
    while (event_wait(&node.stop) != OK)
        ;
    node.admin.ready = false;
    if (node.disk_failed) cluster_failing(node.cluster);
    http_server_stop(server, 5000);
    doors_close(&node.doors);
    return OK;
}

static err_t make_control(void *arg)
{
    control_make(config_text(node.config, CFG_DATA_DIR), arg);
    return OK;
}

static err_t node_main(void *arg)
{
    (void)arg;
    event_init(&node.stop);
    TRY(node_lock(config_text(node.config, CFG_DATA_DIR), &node.lock));
    TRY(rt_offload(make_control, &node.doors.control));
    log_info("node.start", "version=%s backend=%s reason=\"%s\" cores=%u", TERCET_VERSION,
             rt_backend_name(), rt_backend_reason(), rt_cores());
    node.admin.backend = rt_backend_name();
    node.admin.backend_reason = rt_backend_reason();
    pthread_t signals;
    if (pthread_create(&signals, NULL, signal_thread, NULL) != 0)
        return err_set(ERR_INTERNAL, "cannot start the signal thread");
    err_t e = serve();
    struct err_record record = *err_record();
    if (node.keys) key_files_unwatch(node.keys);
    node.keys = NULL;
    if (node.cluster) cluster_close(node.cluster);
    if (node.store) store_close(node.store);
    if (node.bucket) node.bucket->close(node.bucket);
    if (node.kv) node.kv->close(node.kv);
    pthread_kill(signals, SIGUSR1);
    pthread_join(signals, NULL);
    if (e != OK) return err_set(e, "%s", record.detail);
    if (node.failed) return err_set(ERR_IO, "stopped: %s", node.why);
    return OK;
}

static err_t backend_of(const char *text, enum rt_backend *out)
{
    static const char *const names[] = { "auto", "io_uring", "epoll" };
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum rt_backend)i;
            return OK;
        }
    return err_set(ERR_INVALID, "node.backend: '%s' is none of auto, io_uring, epoll", text);
}

/* As many as rt_run will start. */
static unsigned reactors_of(const struct config *c)
{
    cpu_set_t set;
    if (config_num(c, CFG_NODE_CORES) > 0) return (unsigned)config_num(c, CFG_NODE_CORES);
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

err_t node_run(const struct config *c)
{
    struct rt_opts o = { .cores = (unsigned)config_num(c, CFG_NODE_CORES),
                         .offload_threads = 2 + bucket_threads(c, reactors_of(c)),
                         .pin = config_num(c, CFG_NODE_PIN) != 0 };
    node.config = c;
    TRY(limits_check());
    api_fragments_register();
    scatter_encode_always(config_num(c, CFG_QUERY_ENCODE_FRAGMENTS) != 0);
    TRY(backend_of(config_text(c, CFG_NODE_BACKEND), &o.backend));
    budget_init(&node.bodies, "ingest.bodies", NULL, config_num(c, CFG_INGEST_BODIES), ERR_OVERLOAD);
    budget_init(&node.answers, "answers", NULL, config_num(c, CFG_QUERY_MEMORY), ERR_OVERLOAD);
    budget_init(&node.queries, "query.memory", NULL, config_num(c, CFG_QUERY_MEMORY), ERR_OVERLOAD);
    metric_budget(&node.bodies);
    metric_budget(&node.answers);
    metric_budget(&node.queries);
    node.lock = -1;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&node.signals);
    sigaddset(&node.signals, SIGINT);
    sigaddset(&node.signals, SIGTERM);
    sigaddset(&node.signals, SIGHUP);
    sigaddset(&node.signals, SIGUSR1);
    /* Every thread that starts from here on inherits the mask; only signal_thread takes them. */
    pthread_sigmask(SIG_BLOCK, &node.signals, NULL);
    err_t e = rt_run(&o, node_main, NULL);
    if (node.lock >= 0) close(node.lock);
    return e;
}
