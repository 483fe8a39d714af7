/* The C side of json_in.h: nodes from the parser's events, look-up, and writing. */
#include "storage/json_in.h"

#include "storage/json_dom.h"

#include <math.h>

struct builder {
    struct arena *a;
    struct json_val *v;
    size_t n, cap;
    uint32_t open[JSON_DEPTH_MAX + 1]; /* containers not yet closed */
    unsigned depth;
};

/* False stops the walk: the memory budget refuses. */
static bool on_event(void *ctx, const struct json_dom_event *e)
{
    struct builder *b = ctx;
    if (e->kind == DOM_END) {
        struct json_val *v = &b->v[b->open[--b->depth]];
        v->span = (uint32_t)(b->n - b->open[b->depth]);
        return true;
    }
    if (b->depth) b->v[b->open[b->depth - 1]].n++;
    b->v = arena_grow(b->a, b->v, b->n, &b->cap, b->n + 1, sizeof *b->v);
    struct json_val *v = &b->v[b->n];
    *v = (struct json_val){ .type = (enum json_type)e->kind, .span = 1 };
    if (e->key) v->key = arena_str(b->a, str_n(e->key, e->key_n));
    switch (e->kind) {
    case DOM_BOOL: v->boolean = e->b; break;
    case DOM_I64: v->i64 = e->i; break;
    case DOM_U64: v->u64 = e->u; break;
    case DOM_F64: v->f64 = e->d; break;
    case DOM_STR: v->str = arena_str(b->a, str_n(e->s, e->s_n)); break;
    case DOM_ARR:
    case DOM_OBJ: b->open[b->depth++] = (uint32_t)b->n; break;
    default: break;
    }
    b->n++;
    return arena_check(b->a) == OK;
}

err_t json_parse(struct str text, struct arena *a, const struct json_val **out)
{
    _Static_assert((int)JSON_OBJ == (int)DOM_OBJ && (int)JSON_STR == (int)DOM_STR, "one numbering");
    if (text.n > JSON_TEXT_MAX)
        return err_set(ERR_TOO_LARGE, "a JSON text of %zu bytes is over %d", text.n, JSON_TEXT_MAX);
    struct builder b = { .a = a };
    const char *why = json_dom_walk(text.p, text.n, JSON_DEPTH_MAX, on_event, &b);
    if (why) return err_set(ERR_INVALID, "JSON: %s", why);
    TRY(arena_check(a)); /* also the reason why the walk stopped early */
    *out = b.v;
    return OK;
}

const struct json_val *json_get(const struct json_val *v, const char *key)
{
    const struct json_val *c, *found = NULL;
    if (!v || v->type != JSON_OBJ) return NULL;
    JSON_EACH(c, v)
        if (str_is(c->key, key)) found = c;
    return found;
}

bool json_to_i64(const struct json_val *v, int64_t *out)
{
    if (v->type == JSON_I64) return *out = v->i64, true;
    if (v->type == JSON_F64 && v->f64 == trunc(v->f64) && v->f64 >= -0x1p63 && v->f64 < 0x1p63)
        return *out = (int64_t)v->f64, true;
    return false;
}

static void write_f64(struct json_out *j, double d)
{
    char text[40];
    size_t n = f64_shortest(d, text);
    bool plain = true; /* digits and sign only: an integer's form */
    for (size_t i = 0; i < n; i++)
        if (text[i] == '.' || text[i] == 'e' || text[i] == 'E' || text[i] == 'n' || text[i] == 'i')
            plain = false;
    if (plain) {
        text[n++] = '.';
        text[n++] = '0';
    }
    json_raw(j, str_n(text, n));
}

static void write_scalar(const struct json_val *v, struct json_out *j)
{
    switch (v->type) {
    case JSON_BOOL: json_bool(j, v->boolean); break;
    case JSON_I64: json_i64(j, v->i64); break;
    case JSON_U64: json_u64(j, v->u64); break;
    case JSON_F64: write_f64(j, v->f64); break;
    case JSON_STR: json_str(j, v->str); break;
    default: json_null(j); break;
    }
}

void json_val_write(const struct json_val *v, struct json_out *j)
{
    struct { uint32_t left; bool object; } stack[JSON_DEPTH_MAX + 1];
    unsigned depth = 0;
    for (uint32_t i = 0; i < v->span; i++) {
        const struct json_val *c = &v[i];
        if (depth && stack[depth - 1].object) json_key(j, c->key);
        if (c->type < JSON_ARR) {
            write_scalar(c, j);
        } else {
            if (c->type == JSON_OBJ) json_obj(j);
            else json_arr(j);
            stack[depth].left = c->n + 1; /* + 1: this container itself is taken off below */
            stack[depth++].object = c->type == JSON_OBJ;
        }
        /* One element of the innermost container is done; a container that has none left closes, which
         * completes an element of the one around it. */
        while (depth && --stack[depth - 1].left == 0) {
            if (stack[--depth].object) json_obj_end(j);
            else json_arr_end(j);
        }
    }
}

struct str json_val_text(const struct json_val *v, struct arena *a)
{
    struct buf b;
    struct json_out j;
    buf_init(&b, JSON_TEXT_MAX, NULL);
    json_init(&j, &b);
    json_val_write(v, &j);
    struct str s = arena_str(a, buf_view(&b));
    buf_deinit(&b);
    return s;
}
