/* The program's verbs: serve, health, config check, bucket check, cluster status|drain|forget|id, segment, version. Options and settings are one
 * table (config.def). */
#include "base/core/config.h"
#include "base/core/log.h"
#include "server/bucket.h"
#include "server/cluster_verb.h"
#include "server/health.h"
#include "server/inspect.h"
#include "server/key_files.h"
#include "server/node.h"
#include "server/node_id.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

extern char **environ;

static const char usage[] =
    "usage: tercet serve [options]          run a node\n"
    "       tercet health [options]         is the node that runs with these options ready? exit 0 or 1\n"
    "       tercet cluster status [options] what the node that runs with these options thinks of its cluster\n"
    "       tercet cluster drain [options]  it hands over what it has; ends when others have all of it, and the node may be stopped\n"
    "       tercet cluster forget NODE [options]\n"
    "                                       a dead node, by its id, will not be back: others take its place now\n"
    "       tercet config check [options]   check settings and print those in force\n"
    "       tercet bucket check [options]   can the bucket of these settings do what the object tier needs?\n"
    "       tercet cluster id [options]     this data directory's node id, which a certificate names; while no node runs\n"
    "       tercet segment inspect [--json] FILE..., tercet segment verify FILE...\n"
    "                                       what a segment file holds and where its bytes go; is it whole?\n"
    "       tercet version\n"
    "\n"
    "options\n"
    "  --data DIR           data directory (data.dir)\n"
    "  --config FILE        YAML file of settings\n"
    "  --bind ADDR          address to listen on (listen.bind)\n"
    "  --port-offset N      added to every port (listen.port_offset)\n"
    "  --join HOST:PORT,... gossip ports of nodes of the cluster (cluster.join)\n"
    "  --set KEY=VALUE      any setting; may be repeated\n"
    "  --help, --help-config\n"
    "\n"
    "Ports: 4317 OTLP/gRPC, 4318 OTLP/HTTP, 9090 Prometheus, 3200 Tempo, 7280 Quickwit, 3000 web UI,\n"
    "       7946 gossip (TCP and UDP), 7947 calls between nodes.\n"
    "Every setting can also come from the environment: storage.seal_age is TERCET_STORAGE_SEAL_AGE.\n";

enum { OPT_DATA = 256, OPT_CONFIG, OPT_BIND, OPT_PORT_OFFSET, OPT_JOIN, OPT_SET, OPT_HELP, OPT_HELP_CONFIG };

static const struct option options[] = {
    { "data", required_argument, NULL, OPT_DATA },
    { "config", required_argument, NULL, OPT_CONFIG },
    { "bind", required_argument, NULL, OPT_BIND },
    { "port-offset", required_argument, NULL, OPT_PORT_OFFSET },
    { "join", required_argument, NULL, OPT_JOIN },
    { "set", required_argument, NULL, OPT_SET },
    { "help", no_argument, NULL, OPT_HELP },
    { "help-config", no_argument, NULL, OPT_HELP_CONFIG },
    { NULL, 0, NULL, 0 },
};

static struct config config;

static void print_buf(void (*fill)(struct buf *))
{
    struct buf out;
    buf_init(&out, 1 << 20, NULL);
    fill(&out);
    fwrite(out.p, 1, out.n, stdout);
    buf_deinit(&out);
}

static err_t set_pair(struct str pair)
{
    struct str key;
    if (str_chr(pair, '=') == pair.n)
        return err_set(ERR_INVALID, "--set wants KEY=VALUE, not '" STR_FMT "'", STR_ARG(pair));
    str_cut(&pair, '=', &key);
    return config_set(&config, key, pair, "command line");
}

/* The command line wins over everything, so the file and the environment are read in a first pass. */
static err_t apply(int argc, char **argv, bool first_pass)
{
    optind = 1;
    for (int opt; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (opt == OPT_HELP) {
            fputs(usage, stdout);
            exit(0);
        }
        if (opt == OPT_HELP_CONFIG) {
            print_buf(config_help);
            exit(0);
        }
        if (opt == '?') return err_set(ERR_INVALID, "see tercet --help");
        if (first_pass != (opt == OPT_CONFIG)) continue;
        switch (opt) {
        case OPT_CONFIG: TRY(config_load_file(&config, optarg)); break;
        case OPT_DATA: TRY(config_set(&config, STR("data.dir"), str_of(optarg), "--data")); break;
        case OPT_BIND: TRY(config_set(&config, STR("listen.bind"), str_of(optarg), "--bind")); break;
        case OPT_JOIN: TRY(config_set(&config, STR("cluster.join"), str_of(optarg), "--join")); break;
        case OPT_PORT_OFFSET:
            TRY(config_set(&config, STR("listen.port_offset"), str_of(optarg), "--port-offset"));
            break;
        default: TRY(set_pair(str_of(optarg)));
        }
    }
    if (optind < argc && !first_pass)
        return err_set(ERR_INVALID, "'%s' is not an option; see tercet --help", argv[optind]);
    return OK;
}

static err_t load(int argc, char **argv)
{
    config_defaults(&config);
    TRY(apply(argc, argv, true));
    TRY(config_load_env(&config, environ));
    return apply(argc, argv, false);
}

static int fail(void)
{
    fprintf(stderr, "tercet: %s\n", err_detail());
    return 2;
}

static void show(struct buf *out)
{
    config_show(&config, out);
}

static err_t log_level(enum log_level *level)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    const char *want = config_text(&config, CFG_LOG_LEVEL);
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(want, names[i]) == 0) {
            *level = (enum log_level)i;
            return OK;
        }
    return err_set(ERR_INVALID, "log.level: '%s' is none of debug, info, warn, error", want);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    enum log_level level = LOG_INFO;
    if (strcmp(verb, "version") == 0) return puts("tercet " TERCET_VERSION) < 0;
    if (strcmp(verb, "segment") == 0) return segment_verb(argc - 2, argv + 2);
    if (strcmp(verb, "config") == 0 && argc > 2 && strcmp(argv[2], "check") == 0) {
        if (load(argc - 2, argv + 2) != OK || log_level(&level) != OK || key_files_check(&config) != OK) return fail();
        print_buf(show);
        return 0;
    }
    if (strcmp(verb, "bucket") == 0 && argc > 2 && strcmp(argv[2], "check") == 0) {
        if (load(argc - 2, argv + 2) != OK || log_level(&level) != OK) return fail();
        log_init(level, config_num(&config, CFG_LOG_JSON) != 0);
        return bucket_check(&config) == OK ? 0 : (fail(), 1);
    }
    if (strcmp(verb, "cluster") == 0 && argc > 2 && strcmp(argv[2], "id") == 0) {
        if (load(argc - 2, argv + 2) != OK) return fail();
        return node_id_print(config_text(&config, CFG_DATA_DIR)) == OK ? 0 : fail();
    }
    if (strcmp(verb, "health") == 0) {
        if (load(argc - 1, argv + 1) != OK) return fail();
        return health_ask(&config) == OK ? 0 : (fail(), 1);
    }
    if (strcmp(verb, "cluster") == 0 && argc > 2 && strcmp(argv[2], "status") == 0) {
        if (load(argc - 2, argv + 2) != OK) return fail();
        return cluster_status(&config) == OK ? 0 : (fail(), 1);
    }
    if (strcmp(verb, "cluster") == 0 && argc > 2 && strcmp(argv[2], "drain") == 0) {
        if (load(argc - 2, argv + 2) != OK) return fail();
        return cluster_drain_wait(&config) == OK ? 0 : (fail(), 1);
    }
    if (strcmp(verb, "cluster") == 0 && argc > 3 && strcmp(argv[2], "forget") == 0) {
        if (load(argc - 3, argv + 3) != OK) return fail();
        return cluster_forget_node(&config, argv[3]) == OK ? 0 : (fail(), 1);
    }
    if (strcmp(verb, "serve") == 0) {
        if (load(argc - 1, argv + 1) != OK || log_level(&level) != OK) return fail();
        log_init(level, config_num(&config, CFG_LOG_JSON) != 0);
        return node_run(&config) == OK ? 0 : fail();
    }
    if (strcmp(verb, "--help-config") == 0) return print_buf(config_help), 0;
    bool asked = strcmp(verb, "--help") == 0 || strcmp(verb, "help") == 0;
    fputs(usage, asked ? stdout : stderr);
    return asked ? 0 : 2;
}
