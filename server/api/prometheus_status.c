/* What the server says of itself in Prometheus' words, and of what it has none of: it scrapes nothing and evaluates no rules. */
#include "server/api/prometheus_int.h"

#include "base/core/config.h"
#include "base/core/datetime.h"

#include <limits.h>
#include <unistd.h>

enum { CONFIG_YAML_MAX = 1 << 20 };

#define VERSION "\"version\":\"3.14.0+tercet." TERCET_VERSION "\",\"revision\":\"\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\""

static err_t success(struct http_response *rs, const char *data)
{
    buf_printf(&rs->body, "{\"status\":\"success\",\"data\":%s}", data);
    return OK;
}

static err_t plain(struct http_response *rs, const char *text)
{
    rs->content_type = "text/plain; charset=utf-8";
    buf_z(&rs->body, text);
    return OK;
}

/* "success" and an object as its data; end_data closes both. */
static void begin_data(struct json_out *j, struct http_response *rs)
{
    json_init(j, &rs->body);
    json_obj(j);
    json_keyz(j, "status");
    json_z(j, "success");
    json_keyz(j, "data");
    json_obj(j);
}
static void end_data(struct json_out *j)
{
    json_obj_end(j);
    json_obj_end(j);
}

static void pair(struct json_out *j, const char *key, struct str value)
{
    json_keyz(j, key);
    json_str(j, value);
}

static void pair_time(struct json_out *j, const char *key, int64_t unix_ms)
{
    char when[DATETIME_TEXT_MAX];
    pair(j, key, str_n(when, datetime_format(unix_ms * NS_PER_MS, when)));
}

static void pair_i64(struct json_out *j, const char *key, int64_t v)
{
    json_keyz(j, key);
    json_i64(j, v);
}

#define ANSWER(name, call) err_t name(struct http_request *rq, struct http_response *rs) { (void)rq; return call; }
ANSWER(prom_healthy, plain(rs, "Prometheus Server is Healthy.\n"))
ANSWER(prom_ready, plain(rs, "Prometheus Server is Ready.\n"))
/* No `features` map: with one, Grafana takes the server for Mimir. The version is the API level. */
ANSWER(prom_buildinfo, success(rs, "{" VERSION "}"))
ANSWER(prom_version, (buf_z(&rs->body, "{" VERSION "}"), OK))
/* A node that answers has replayed. */
ANSWER(prom_walreplay, success(rs, "{\"min\":0,\"max\":0,\"current\":0}"))
ANSWER(prom_blocks, success(rs, "{\"blocks\":[]}"))
ANSWER(prom_alerts, success(rs, "{\"alerts\":[]}"))
ANSWER(prom_alertmanagers, success(rs, "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}"))
ANSWER(prom_targets, success(rs, "{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":{}}"))
ANSWER(prom_scrape_pools, success(rs, "{\"scrapePools\":[]}"))
ANSWER(prom_notifications, success(rs, "[]"))

err_t prom_rules(struct http_request *rq, struct http_response *rs)
{
    struct str type;
    if (prom_param(rq, "type", &type) && !str_is(type, "alert") && !str_is(type, "record"))
        return err_set(ERR_INVALID, "invalid parameter \"type\": not supported value \"" STR_FMT "\"", (int)MIN(type.n, 100), type.p);
    return success(rs, "{\"groups\":[]}");
}

err_t prom_targets_metadata(struct http_request *rq, struct http_response *rs)
{
    struct str v;
    int64_t limit;
    if (prom_param(rq, "limit", &v) && !str_to_i64(v, &limit)) return err_set(ERR_INVALID, "limit must be a number");
    return success(rs, "[]");
}

/* A process is stopped and its settings are read again by signals alone. */
err_t prom_lifecycle(struct http_request *rq, struct http_response *rs)
{
    (void)rq;
    rs->status = 403;
    return plain(rs, "Lifecycle API is not enabled.\n");
}

err_t prom_config(struct http_request *rq, struct http_response *rs)
{
    const struct prom_ctx *ctx = rq->user;
    struct json_out j;
    begin_data(&j, rs);
    struct buf yaml;
    buf_init(&yaml, CONFIG_YAML_MAX, NULL);
    config_show(ctx->config, &yaml);
    pair(&j, "yaml", buf_view(&yaml));
    buf_deinit(&yaml);
    end_data(&j);
    return buf_check(&rs->body);
}

/* Those of Prometheus' flags that there is a setting for here. */
err_t prom_flags(struct http_request *rq, struct http_response *rs)
{
    const struct prom_ctx *ctx = rq->user;
    struct json_out j;
    begin_data(&j, rs);
    pair(&j, "query.lookback-delta", STR("5m"));
    pair(&j, "query.max-samples", arena_printf(rq->arena, "%lld", (long long)ctx->samples_max));
    pair(&j, "query.timeout", str_of(config_text(ctx->config, CFG_QUERY_TIMEOUT)));
    pair(&j, "storage.tsdb.path", str_of(config_text(ctx->config, CFG_DATA_DIR)));
    pair(&j, "web.enable-admin-api", ctx->deletes ? STR("true") : STR("false"));
    pair(&j, "web.enable-lifecycle", STR("false"));
    pair(&j, "web.enable-otlp-receiver", STR("true"));
    pair(&j, "web.enable-remote-write-receiver", STR("true"));
    end_data(&j);
    return OK;
}

static struct str retention(const struct config *c, struct arena *a)
{
    double share = config_share(c, CFG_STORAGE_RETENTION_SHARE) * 100;
    const char *age = config_num(c, CFG_STORAGE_RETENTION_AGE) > 0 ? config_text(c, CFG_STORAGE_RETENTION_AGE) : "";
    if (share <= 0) return str_of(age);
    return arena_printf(a, "%s%s%.6g %% of the disk", age, *age ? " or " : "", share);
}

err_t prom_runtimeinfo(struct http_request *rq, struct http_response *rs)
{
    const struct prom_ctx *ctx = rq->user;
    char host[256] = "", *cwd = ARENA_RAW(rq->arena, char, PATH_MAX);
    struct json_out j;
    (void)gethostname(host, sizeof host - 1);
    if (!getcwd(cwd, PATH_MAX)) cwd[0] = '\0';
    begin_data(&j, rs);
    pair_time(&j, "startTime", ctx->started_ms);
    pair_time(&j, "serverTime", rt_wall().ns / NS_PER_MS);
    pair_time(&j, "lastConfigTime", ctx->started_ms);
    pair(&j, "CWD", str_of(cwd));
    pair(&j, "hostname", str_of(host));
    json_keyz(&j, "reloadConfigSuccess");
    json_bool(&j, true);
    pair_i64(&j, "corruptionCount", 0);
    pair_i64(&j, "goroutineCount", 0);
    pair_i64(&j, "GOMAXPROCS", rt_cores());
    pair_i64(&j, "GOMEMLIMIT", 0);
    pair(&j, "GOGC", STR(""));
    pair(&j, "GODEBUG", STR(""));
    pair(&j, "storageRetention", retention(ctx->config, rq->arena));
    end_data(&j);
    return OK;
}
