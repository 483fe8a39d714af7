#include "server/joining.h"

#include "base/core/log.h"
#include "base/rt/sock.h"
#include "server/key_files.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { RETIRE_AFTER_MS = 600000 }; /* a deletion that all nodes made: longer than any request is on its way */
enum { ADDRESS_MAX = 128 }; /* of listen.bind and cluster.advertise, with a terminator */

static bool is_every(const char *bind)
{
    return strcmp(bind, "0.0.0.0") == 0 || strcmp(bind, "::") == 0;
}

/* The first address of the family of `bind` that is up, and not loopback. */
static err_t first_address(const char *bind, char *to, size_t n)
{
    int family = strcmp(bind, "::") == 0 ? AF_INET6 : AF_INET;
    struct ifaddrs *all;
    to[0] = '\0';
    if (getifaddrs(&all) != 0) return err_set(ERR_IO, "cannot list the addresses of this machine: set cluster.advertise");
    for (const struct ifaddrs *i = all; i && !to[0]; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != family || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK)) continue;
        const void *raw = family == AF_INET ? (const void *)&((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr
                                            : (const void *)&((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr;
        if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *)raw)) continue;
        inet_ntop(family, raw, to, (socklen_t)n);
    }
    freeifaddrs(all);
    if (!to[0]) snprintf(to, n, "%s", family == AF_INET ? "127.0.0.1" : "::1");
    return OK;
}

/* cluster.advertise, or what stands for it. */
static err_t own_address(const struct config *c, char *to, size_t n)
{
    const char *bind = config_text(c, CFG_LISTEN_BIND), *given = config_text(c, CFG_CLUSTER_ADVERTISE);
    struct io_addr a;
    if (!given[0] && is_every(bind)) return first_address(bind, to, n);
    snprintf(to, n, "%.*s", (int)n - 1, given[0] ? given : bind);
    if (!given[0]) return OK;
    if (io_addr_parse(given, PORT_GOSSIP, &a) != OK)
        return err_set(ERR_INVALID, "cluster.advertise: '%s' is not a numeric IPv4 or IPv6 address (without a port)", given);
    if (is_every(given)) return err_set(ERR_INVALID, "cluster.advertise: '%s' stands for every address: say one that other nodes reach", given);
    return OK;
}

/* "1-2": what a test lets this node say it speaks. Empty: nothing is said. */
static err_t speaks(const struct config *c, uint8_t *least, uint8_t *most)
{
    struct str text = str_of(config_text(c, CFG_CLUSTER_SPEAKS)), first;
    uint64_t from, to;
    *least = *most = 0;
    if (text.n == 0) return OK;
    str_cut(&text, '-', &first);
    if (!str_to_u64(first, &from) || !str_to_u64(text, &to) || from == 0 || from > to || to > UINT8_MAX)
        return err_set(ERR_INVALID, "cluster.speaks: '%s' is no range of versions, as 1-2", config_text(c, CFG_CLUSTER_SPEAKS));
    *least = (uint8_t)from;
    *most = (uint8_t)to;
    return OK;
}

err_t joining_open(const struct config *c, struct store *s, struct spread_ctx *fragments, void (*on_stop)(void *ctx, const char *why),
                   void *ctx, struct cluster **out)
{
    const char *bind = config_text(c, CFG_LISTEN_BIND);
    int64_t offset = config_num(c, CFG_LISTEN_PORT_OFFSET);
    char advertise[ADDRESS_MAX];
    TRY(own_address(c, advertise, sizeof advertise));
    struct cluster_opts o = {
        .store = s,
        .label = config_text(c, CFG_CLUSTER_LABEL),
        .bind = bind,
        .advertise = advertise,
        .gossip_port = (uint16_t)(PORT_GOSSIP + offset),
        .rpc_port = (uint16_t)(PORT_RPC + offset),
        .seeds = config_text(c, CFG_CLUSTER_JOIN),
        .zone = config_text(c, CFG_CLUSTER_ZONE),
        .version = TERCET_VERSION,
        .backend = rt_backend_name(),
        .weight = (uint32_t)config_num(c, CFG_CLUSTER_WEIGHT),
        .partitions = (uint32_t)config_num(c, CFG_DATA_PARTITIONS),
        .replicas = (uint32_t)config_num(c, CFG_CLUSTER_REPLICAS),
        .write_quorum = (uint32_t)config_num(c, CFG_CLUSTER_WRITE_QUORUM),
        .tenants = config_text(c, CFG_CLUSTER_TENANTS),
        .tenant_nodes = (uint32_t)config_num(c, CFG_CLUSTER_TENANT_NODES),
        .port_offset = (uint32_t)offset,
        .dead_after_ms = config_num(c, CFG_CLUSTER_DEAD_AFTER),
        .retire_after_ms = RETIRE_AFTER_MS,
        .copy_rate = config_num(c, CFG_CLUSTER_COPY_RATE),
        .memory = config_num(c, CFG_CLUSTER_MEMORY),
        .on_stop = on_stop,
        .ctx = ctx,
    };
    if (o.write_quorum > o.replicas)
        return err_set(ERR_INVALID, "cluster.write_quorum (%u) is more than cluster.replicas (%u)", o.write_quorum, o.replicas);
    TRY(speaks(c, &o.speaks_least, &o.speaks_most));
    o.handlers[METHOD_FRAGMENT] = (struct cluster_handler){ spread_on_fragment, fragments };
    TRY(sock_port_free(bind, o.rpc_port));
    struct key_files_found found_keys;
    TRY(key_files_find(c, &found_keys));
    o.keys = &found_keys.keys;
    o.tls = found_keys.tls;
    err_t e = cluster_open(&o, out);
    uint32_t keys = found_keys.keys.n;
    key_files_forget(&found_keys);
    TRY(e);
    fragments->cluster = *out;
    log_info("cluster.open", "node=%016llx label=%s gossip=%u calls=%u seeds=%s keys=%u tls=%s", (unsigned long long)cluster_self(*out).u, o.label,
             o.gossip_port, o.rpc_port, o.seeds, keys, o.tls ? "on" : "off");
    return OK;
}
