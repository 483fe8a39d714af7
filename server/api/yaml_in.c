/* YAML index configurations as JSON text, by libyaml's events: mappings, sequences, scalars; no aliases, no tags. */
#include "server/api/indexes.h"

#include <yaml.h>

struct walk {
    struct json_out j;
    struct { bool map, key_next; } level[JSON_DEPTH_MAX];
    unsigned depth;
    bool done;
};

static bool plain_word(struct str s, struct json_out *j)
{
    int64_t i;
    double d;
    if (s.n == 0 || str_is(s, "~") || str_is(s, "null")) return json_null(j), true;
    if (str_is(s, "true") || str_is(s, "false")) return json_bool(j, s.p[0] == 't'), true;
    if (str_to_i64(s, &i)) return json_i64(j, i), true;
    bool numeric = (s.p[0] >= '0' && s.p[0] <= '9') || s.p[0] == '-' || s.p[0] == '.';
    if (numeric && str_to_f64(s, &d)) return json_f64(j, d), true;
    return false;
}

static err_t open_level(struct walk *w, bool map)
{
    if (w->depth == JSON_DEPTH_MAX) return err_set(ERR_INVALID, "YAML: nested deeper than %d", JSON_DEPTH_MAX);
    w->level[w->depth].map = map;
    w->level[w->depth++].key_next = map;
    if (map) json_obj(&w->j);
    else json_arr(&w->j);
    return OK;
}

static void value_done(struct walk *w)
{
    if (w->depth && w->level[w->depth - 1].map) w->level[w->depth - 1].key_next = true;
}

static err_t scalar(struct walk *w, const yaml_event_t *e)
{
    struct str s = str_n(e->data.scalar.value, e->data.scalar.length);
    if (w->depth && w->level[w->depth - 1].key_next) {
        json_key(&w->j, s);
        w->level[w->depth - 1].key_next = false;
        return OK;
    }
    if (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE || !plain_word(s, &w->j)) json_str(&w->j, s);
    value_done(w);
    return OK;
}

static err_t on_event(struct walk *w, const yaml_event_t *e)
{
    bool key_next = w->depth && w->level[w->depth - 1].key_next;
    switch (e->type) {
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        if (key_next) return err_set(ERR_INVALID, "YAML: a key must be a scalar");
        return open_level(w, e->type == YAML_MAPPING_START_EVENT);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        w->depth--;
        if (e->type == YAML_MAPPING_END_EVENT) json_obj_end(&w->j);
        else json_arr_end(&w->j);
        value_done(w);
        return OK;
    case YAML_SCALAR_EVENT: return scalar(w, e);
    case YAML_ALIAS_EVENT: return err_set(ERR_INVALID, "YAML: aliases are not taken");
    case YAML_DOCUMENT_END_EVENT: w->done = true; return OK;
    default: return OK;
    }
}

err_t yaml_to_json(struct str yaml, struct arena *a, struct str *json)
{
    yaml_parser_t p;
    struct walk *w = ARENA_NEW(a, struct walk);
    struct buf b;
    err_t e = OK;
    buf_init(&b, 4 << 20, a->budget);
    json_init(&w->j, &b);
    if (!yaml_parser_initialize(&p)) {
        buf_deinit(&b);
        return err_set(ERR_OVERLOAD, "no memory for the YAML parser");
    }
    yaml_parser_set_input_string(&p, (const unsigned char *)yaml.p, yaml.n);
    while (e == OK && !w->done) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&p, &ev)) {
            e = err_set(ERR_INVALID, "YAML: line %zu: %s", p.problem_mark.line + 1, p.problem ? p.problem : "malformed");
            break;
        }
        w->done = ev.type == YAML_STREAM_END_EVENT;
        e = on_event(w, &ev);
        if (e == OK) e = buf_check(&b);
        yaml_event_delete(&ev);
    }
    yaml_parser_delete(&p);
    if (e == OK) *json = arena_str(a, buf_view(&b));
    buf_deinit(&b);
    return e;
}
