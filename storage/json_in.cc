/* The C++ side of json_in.h: simdjson's DOM parser, told to json_in.c event by event. */
#include "storage/json_dom.h"

#include <simdjson.h>

namespace {

enum : size_t { PARSER_KEEP_BYTES = 1 << 20, LEVELS_MAX = 64 };

struct level {
    bool object;
    simdjson::dom::array::iterator ait, aend;
    simdjson::dom::object::iterator oit, oend;
};

struct walk {
    struct level stack[LEVELS_MAX + 1];
    unsigned depth;
    bool (*on)(void *ctx, const struct json_dom_event *e);
    void *ctx;
};

void open_level(struct level *l, simdjson::dom::element e, bool object)
{
    l->object = object;
    if (object) {
        simdjson::dom::object o = e.get_object().value_unsafe();
        l->oit = o.begin();
        l->oend = o.end();
    } else {
        simdjson::dom::array o = e.get_array().value_unsafe();
        l->ait = o.begin();
        l->aend = o.end();
    }
}

bool tell(struct walk *w, simdjson::dom::element e, const char *key, size_t key_n)
{
    using simdjson::dom::element_type;
    struct json_dom_event v = {};
    v.key = key;
    v.key_n = key_n;
    switch (e.type()) {
    case element_type::ARRAY: v.kind = DOM_ARR; break;
    case element_type::OBJECT: v.kind = DOM_OBJ; break;
    case element_type::INT64: v.kind = DOM_I64; v.i = e.get_int64().value_unsafe(); break;
    case element_type::UINT64: v.kind = DOM_U64; v.u = e.get_uint64().value_unsafe(); break;
    case element_type::DOUBLE: v.kind = DOM_F64; v.d = e.get_double().value_unsafe(); break;
    case element_type::BOOL: v.kind = DOM_BOOL; v.b = e.get_bool().value_unsafe(); break;
    case element_type::STRING: {
        std::string_view s = e.get_string().value_unsafe();
        v.kind = DOM_STR;
        v.s = s.data();
        v.s_n = s.size();
        break;
    }
    default: v.kind = DOM_NULL; break;
    }
    if (!w->on(w->ctx, &v)) return false;
    if (v.kind == DOM_ARR || v.kind == DOM_OBJ) open_level(&w->stack[w->depth++], e, v.kind == DOM_OBJ);
    return true;
}

void run(struct walk *w, simdjson::dom::element root)
{
    bool go = tell(w, root, nullptr, 0);
    while (go && w->depth) {
        struct level *l = &w->stack[w->depth - 1];
        if (l->object ? !(l->oit != l->oend) : !(l->ait != l->aend)) {
            struct json_dom_event v = {};
            v.kind = DOM_END;
            w->depth--;
            go = w->on(w->ctx, &v);
        } else if (l->object) {
            std::string_view key = l->oit.key();
            simdjson::dom::element e = l->oit.value();
            ++l->oit;
            go = tell(w, e, key.data(), key.size());
        } else {
            simdjson::dom::element e = *l->ait;
            ++l->ait;
            go = tell(w, e, nullptr, 0);
        }
    }
}

} // namespace

extern "C" const char *json_dom_walk(const char *text, size_t n, unsigned depth_max,
                                     bool (*on)(void *ctx, const struct json_dom_event *e), void *ctx)
{
    /* One parser a thread: its buffers are reused; nothing here suspends. */
    static thread_local simdjson::dom::parser parser;
    static thread_local struct walk w;
    if (depth_max > LEVELS_MAX) depth_max = LEVELS_MAX;
    simdjson::error_code e = simdjson::SUCCESS;
    /* allocate() takes the depth; parse() alone would grow to its default of 1,024. */
    if (parser.capacity() < n || parser.max_depth() != depth_max)
        e = parser.allocate(n < 4096 ? 4096 : n, depth_max);
    simdjson::dom::element root;
    if (e == simdjson::SUCCESS) e = parser.parse(text ? text : "", n).get(root);
    if (e != simdjson::SUCCESS) return simdjson::error_message(e);
    w.depth = 0;
    w.on = on;
    w.ctx = ctx;
    run(&w, root);
    if (parser.capacity() > PARSER_KEEP_BYTES) parser = simdjson::dom::parser();
    return nullptr;
}
