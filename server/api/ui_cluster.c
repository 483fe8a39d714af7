#include "server/api/ui_cluster.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void say(struct ui_cluster *u, const char *fmt, ...) PRINTF(2, 3);
static void say(struct ui_cluster *u, const char *fmt, ...)
{
    size_t n = strlen(u->away);
    va_list args;
    va_start(args, fmt);
    vsnprintf(u->away + n, sizeof u->away - n, fmt, args);
    va_end(args);
}

/* "1 of 3 nodes is dead: 00ab... (127.0.0.1:7946, zone b)" */
static void say_away(const struct map *map, struct ui_cluster *u)
{
    uint32_t away = u->n[MEMBER_SUSPECT] + u->n[MEMBER_DEAD], told = 0;
    if (away == 0) return;
    say(u, "%u of %u nodes %s not answer: ", away, away + u->n[MEMBER_ALIVE], away == 1 ? "does" : "do");
    for (uint32_t i = 0; i < map->n && told < UI_AWAY_SHOWN; i++) {
        const struct member *m = &map->v[i];
        char name[IO_ADDR_NAME_MAX];
        if (m->state != MEMBER_SUSPECT && m->state != MEMBER_DEAD) continue;
        io_addr_name(&m->meta.gossip, name, sizeof name);
        say(u, "%s%s at %s%s%s", told++ ? ", " : "", member_state_name(m->state), name, m->meta.zone[0] ? " in zone " : "", m->meta.zone);
    }
    if (away > told) say(u, " and %u more", away - told);
}

static void say_differ(const struct map *map, struct ui_cluster *u)
{
    uint32_t n = map_settings_differ(map);
    for (uint32_t i = 0; n && i < map->n; i++) {
        char name[IO_ADDR_NAME_MAX];
        if (!map_has_other_settings(map, &map->v[i])) continue;
        io_addr_name(&map->v[i].meta.gossip, name, sizeof name);
        snprintf(u->differ, sizeof u->differ, "%u of %u nodes %s other settings of replicas, write quorum or tenants (cluster.*) than this one, first %s: rows go where the node says "
                 "that takes them", n, map->n, n == 1 ? "has" : "have", name);
        return;
    }
}

/* Suspects are tried too, but not to be counted on. */
static bool stream_writable(const struct map *map, const struct stream *st)
{
    uint32_t alive = 0;
    for (uint32_t i = 0; i < st->n; i++) {
        const struct member *m = map_member(map, st->members[i]);
        alive += m && m->state == MEMBER_ALIVE;
    }
    return alive >= map_stream_quorum(map, st);
}

static bool writable(const struct map *map)
{
    uint32_t n, able = 0;
    struct stream *v = map_streams(map, &n);
    for (uint32_t i = 0; i < n; i++)
        able += stream_writable(map, &v[i]);
    free(v);
    return n > 0 && able == n;
}

/* Members that are not alive are not waited for. */
static void look_for_gaps(struct cluster *c, const struct map *map, struct arena *a, struct ui_cluster *u) MAY_YIELD
{
    node_id *avoid = ARENA_RAW(a, node_id, map->n + 1);
    struct reading r;
    uint32_t n = 0;
    for (uint32_t i = 0; i < map->n; i++)
        if (map->v[i].state != MEMBER_ALIVE) avoid[n++] = map->v[i].id;
    const struct reading_of of = { .avoid = avoid, .navoid = n };
    if (reach_plan(c, &of, &r) != OK) return;
    snprintf(u->incomplete, sizeof u->incomplete, "%s", r.incomplete);
    reading_free(&r);
}

void ui_cluster_look(struct cluster *c, struct arena *a, struct ui_cluster *out)
{
    struct map *map = cluster_map(c);
    *out = (struct ui_cluster){ .known = !map->alone };
    for (uint32_t i = 0; i < map->n; i++)
        if (map->v[i].state <= MEMBER_DEAD) out->n[map->v[i].state]++;
    out->writes = writable(map);
    say_away(map, out);
    say_differ(map, out);
    if (out->known && (out->away[0] || !cluster_joined(c))) look_for_gaps(c, map, a, out);
    map_put(map);
}
