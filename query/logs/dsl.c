/* Elasticsearch's JSON queries to the common tree. Depth is bounded by the JSON parser. Unknown queries and
 * parameters are refused by name, as Quickwit does. */
#include "query/logs/ast.h"

static err_t convert(const struct json_val *v, struct arena *a, unsigned depth, struct lq **out);

static err_t bad(const char *query, const char *why)
{
    return err_set(ERR_INVALID, "[%s] %s", query, why);
}

/* A scalar as the text of a term. */
static err_t scalar(const struct json_val *v, struct arena *a, const char *query, struct str *out)
{
    if (v->type == JSON_STR) return *out = v->str, OK;
    if (v->type == JSON_NULL || v->type >= JSON_ARR) return bad(query, "expects a string, a number or a boolean");
    *out = json_val_text(v, a);
    return OK;
}

static err_t get_flag(const struct json_val *obj, const char *key, const char *query, bool *out)
{
    const struct json_val *v = json_get(obj, key);
    if (!v) return OK;
    if (v->type == JSON_BOOL) return *out = v->boolean, OK;
    if (v->type == JSON_STR && str_is(v->str, "true")) return *out = true, OK;
    if (v->type == JSON_STR && str_is(v->str, "false")) return *out = false, OK;
    return err_set(ERR_INVALID, "[%s] %s must be true or false", query, key);
}

static err_t get_text(const struct json_val *obj, const char *key, const char *query, struct str *out)
{
    const struct json_val *v = json_get(obj, key);
    if (!v) return OK;
    if (v->type != JSON_STR) return err_set(ERR_INVALID, "[%s] %s must be a string", query, key);
    *out = v->str;
    return OK;
}

static err_t only_keys(const struct json_val *obj, const char *query, const char *const *keys)
{
    const struct json_val *c;
    JSON_EACH(c, obj) {
        size_t i = 0;
        while (keys[i] && !str_is(c->key, keys[i]))
            i++;
        if (!keys[i]) return err_set(ERR_INVALID, "[%s] unknown parameter `" STR_FMT "`", query, STR_ARG(c->key));
    }
    return OK;
}

static void one_field(struct lq *q, struct arena *a, struct str field)
{
    q->fields = arena_dup(a, &field, sizeof field);
    q->nfields = 1;
}

/* {"field": body}: exactly one field. */
static err_t single(const struct json_val *v, const char *query, const struct json_val **body)
{
    if (v->type != JSON_OBJ || v->n != 1) return bad(query, "expects one field");
    *body = v + 1;
    return OK;
}

static err_t fields_of(const struct json_val *v, struct arena *a, const char *query, struct lq *q)
{
    const struct json_val *c;
    if (v->type == JSON_STR) return one_field(q, a, v->str), OK;
    if (v->type != JSON_ARR || v->n == 0) return bad(query, "needs fields");
    if (v->n > LQ_FIELDS_MAX) return bad(query, "has too many fields");
    struct str *list = ARENA_ARRAY(a, struct str, v->n);
    uint32_t n = 0;
    JSON_EACH(c, v) {
        if (c->type != JSON_STR) return bad(query, "fields must be strings");
        list[n++] = str_sub(c->str, 0, str_chr(c->str, '^')); /* boosts do not count */
    }
    q->fields = list;
    q->nfields = n;
    return OK;
}

/* -- full text -------------------------------------------------------------------------------------------- */

static err_t text_options(const struct json_val *b, const char *query, struct lq *q)
{
    struct str op = STR_NONE, zero = STR_NONE, analyzer = STR_NONE;
    TRY(get_text(b, "operator", query, &op));
    if (op.p && str_ieq(op, STR("and"))) q->join = LQ_AND_WORDS;
    else if (op.p && !str_ieq(op, STR("or"))) return bad(query, "operator must be and or or");
    TRY(get_text(b, "zero_terms_query", query, &zero));
    q->zero_all = zero.p && str_ieq(zero, STR("all"));
    TRY(get_flag(b, "lenient", query, &q->lenient));
    TRY(get_text(b, "analyzer", query, &analyzer));
    if (analyzer.p && str_is(analyzer, "raw")) q->raw = true;
    else if (analyzer.p && !str_is(analyzer, "default") && !str_is(analyzer, "standard"))
        return err_set(ERR_INVALID, "[%s] unknown analyzer `" STR_FMT "`", query, STR_ARG(analyzer));
    const struct json_val *slop = json_get(b, "slop");
    int64_t n;
    if (slop && (!json_to_i64(slop, &n) || n < 0 || n > 1000)) return bad(query, "slop must be a small number");
    if (slop) q->slop = (uint32_t)n;
    return OK;
}

static const char *const text_keys[] = { "query", "operator", "zero_terms_query", "lenient", "analyzer", "slop", "boost",
    "max_expansions", "fuzziness", "prefix_length", "minimum_should_match", "auto_generate_synonyms_phrase_query", NULL };

static err_t text_query(const struct json_val *v, struct arena *a, const char *query, enum lq_join join, bool prefix,
                        struct lq **out)
{
    const struct json_val *b, *text;
    TRY(single(v, query, &b));
    struct lq *q = *out = lq_new(a, LQ_TEXT);
    one_field(q, a, b->key);
    q->join = join;
    q->prefix_last = prefix;
    text = b;
    if (b->type == JSON_OBJ) {
        TRY(only_keys(b, query, text_keys));
        TRY(text_options(b, query, q));
        text = json_get(b, "query");
        if (!text) return bad(query, "needs a query");
    }
    return scalar(text, a, query, &q->text);
}

static err_t multi_match(const struct json_val *v, struct arena *a, struct lq **out)
{
    static const char *const keys[] = { "query", "fields", "type", "operator", "lenient", "boost", "analyzer", "slop",
        "zero_terms_query", "tie_breaker", "max_expansions", "minimum_should_match", "fuzziness", NULL };
    const char *query = "multi_match";
    struct str type = STR("best_fields");
    if (v->type != JSON_OBJ) return bad(query, "must be an object");
    TRY(only_keys(v, query, keys));
    struct lq *q = *out = lq_new(a, LQ_TEXT);
    const struct json_val *fields = json_get(v, "fields"), *text = json_get(v, "query");
    if (!text) return bad(query, "needs a query");
    if (!fields) return bad(query, "needs fields");
    TRY(fields_of(fields, a, query, q));
    TRY(scalar(text, a, query, &q->text));
    TRY(get_text(v, "type", query, &type));
    q->join = LQ_OR_WORDS;
    if (str_is(type, "phrase") || str_is(type, "phrase_prefix")) q->join = LQ_PHRASE;
    else if (!str_is(type, "most_fields") && !str_is(type, "best_fields") && !str_is(type, "bool_prefix") && !str_is(type, "cross_fields"))
        return err_set(ERR_INVALID, "[multi_match] unknown type `" STR_FMT "`", STR_ARG(type));
    q->prefix_last = str_ends(type, STR("prefix"));
    return text_options(v, query, q);
}

static err_t query_string(const struct json_val *v, struct arena *a, struct lq **out)
{
    static const char *const keys[] = { "query", "default_field", "fields", "default_operator", "lenient", "boost",
        "analyze_wildcard", "allow_leading_wildcard", "time_zone", NULL };
    const char *query = "query_string";
    struct lq_opts o = { .or_default = true };
    struct lq fields = { 0 };
    struct str text = STR_NONE, op = STR_NONE;
    if (v->type != JSON_OBJ) return bad(query, "must be an object");
    TRY(only_keys(v, query, keys));
    TRY(get_text(v, "query", query, &text));
    if (!text.p) return bad(query, "needs a query");
    TRY(get_text(v, "default_operator", query, &op));
    if (op.p) o.or_default = !str_ieq(op, STR("and"));
    TRY(get_flag(v, "lenient", query, &o.lenient));
    const struct json_val *f = json_get(v, "default_field");
    if (!f) f = json_get(v, "fields");
    if (f) TRY(fields_of(f, a, query, &fields));
    o.fields = fields.fields;
    o.nfields = fields.nfields;
    return lq_parse(text, &o, a, out);
}

/* -- terms -------------------------------------------------------------------------------------------------- */

static err_t term(const struct json_val *v, struct arena *a, struct lq **out)
{
    static const char *const keys[] = { "value", "case_insensitive", "boost", NULL };
    const struct json_val *b, *value;
    TRY(single(v, "term", &b));
    struct lq *q = *out = lq_new(a, LQ_TERM);
    one_field(q, a, b->key);
    value = b;
    if (b->type == JSON_OBJ) {
        TRY(only_keys(b, "term", keys));
        TRY(get_flag(b, "case_insensitive", "term", &q->fold));
        value = json_get(b, "value");
        if (!value) return bad("term", "needs a value");
    }
    struct str *t = ARENA_ARRAY(a, struct str, 1);
    q->terms = t;
    q->nterms = 1;
    return scalar(value, a, "term", t);
}

static err_t terms(const struct json_val *v, struct arena *a, struct lq **out)
{
    const struct json_val *c, *e, *list = NULL;
    if (v->type != JSON_OBJ) return bad("terms", "must be an object");
    JSON_EACH(c, v) {
        if (str_is(c->key, "boost")) continue;
        if (list) return bad("terms", "expects one field");
        list = c;
    }
    if (!list || list->type != JSON_ARR) return bad("terms", "expects a list of values");
    struct lq *q = *out = lq_new(a, LQ_TERM);
    one_field(q, a, list->key);
    struct str *t = ARENA_ARRAY(a, struct str, list->n + 1);
    q->terms = t;
    JSON_EACH(e, list) TRY(scalar(e, a, "terms", &t[q->nterms++]));
    return OK;
}

static err_t pattern(const struct json_val *v, struct arena *a, const char *query, enum lq_kind kind, struct lq **out)
{
    static const char *const keys[] = { "value", "case_insensitive", "boost", "rewrite", "flags", "wildcard", "max_determinized_states", NULL };
    const struct json_val *b, *value;
    TRY(single(v, query, &b));
    struct lq *q = *out = lq_new(a, kind);
    one_field(q, a, b->key);
    value = b;
    if (b->type == JSON_OBJ) {
        TRY(only_keys(b, query, keys));
        TRY(get_flag(b, "case_insensitive", query, &q->fold));
        value = json_get(b, "value");
        if (!value) value = json_get(b, "wildcard");
        if (!value) return bad(query, "needs a value");
    }
    return scalar(value, a, query, &q->text);
}

static err_t bound(const struct json_val *b, const char *key, bool open, struct arena *a, struct lq_bound *out)
{
    const struct json_val *v = json_get(b, key);
    if (!v || v->type == JSON_NULL) return OK;
    if (out->given) return bad("range", "has two bounds on one side");
    out->given = true;
    out->open = open;
    out->type = v->type;
    return scalar(v, a, "range", &out->text);
}

static err_t range(const struct json_val *v, struct arena *a, struct lq **out)
{
    static const char *const keys[] = { "gt", "gte", "lt", "lte", "format", "boost", "time_zone", "relation", "from", "to",
        "include_lower", "include_upper", NULL };
    const struct json_val *b;
    TRY(single(v, "range", &b));
    if (b->type != JSON_OBJ) return bad("range", "expects an object of bounds");
    TRY(only_keys(b, "range", keys));
    struct lq *q = *out = lq_new(a, LQ_RANGE);
    one_field(q, a, b->key);
    TRY(bound(b, "gt", true, a, &q->lo));
    TRY(bound(b, "gte", false, a, &q->lo));
    TRY(bound(b, "lt", true, a, &q->hi));
    TRY(bound(b, "lte", false, a, &q->hi));
    return get_text(b, "format", "range", &q->date_format);
}

static err_t exists(const struct json_val *v, struct arena *a, struct lq **out)
{
    static const char *const keys[] = { "field", "boost", NULL };
    struct str field = STR_NONE;
    if (v->type != JSON_OBJ) return bad("exists", "must be an object");
    TRY(only_keys(v, "exists", keys));
    TRY(get_text(v, "field", "exists", &field));
    if (!field.p) return bad("exists", "needs a field");
    *out = lq_new(a, LQ_EXISTS);
    one_field(*out, a, field);
    return OK;
}

/* -- bool ------------------------------------------------------------------------------------------------------ */

static err_t clause_list(const struct json_val *v, struct arena *a, unsigned depth, struct lq ***out, uint32_t *n)
{
    const struct json_val *c;
    if (!v || v->type == JSON_NULL) return OK;
    uint32_t more = v->type == JSON_ARR ? v->n : 1;
    struct lq **list = ARENA_ARRAY(a, struct lq *, *n + more);
    if (*n) memcpy(list, *out, *n * sizeof *list);
    *out = list;
    if (v->type != JSON_ARR) return convert(v, a, depth + 1, &list[(*n)++]);
    JSON_EACH(c, v) TRY(convert(c, a, depth + 1, &list[(*n)++]));
    return OK;
}

/* n, -n, "n", "p%" or "-p%" of `total` clauses. */
static err_t minimum(const struct json_val *v, uint32_t total, uint32_t *out)
{
    int64_t n = 0;
    bool percent = false;
    if (v->type == JSON_STR) {
        struct str s = v->str;
        percent = str_ends(s, STR("%"));
        if (percent) s = str_sub(s, 0, s.n - 1);
        if (!str_to_i64(s, &n)) return bad("bool", "minimum_should_match must be a number or a percentage");
    } else if (!json_to_i64(v, &n)) {
        return bad("bool", "minimum_should_match must be a number or a percentage");
    }
    if (n < -100000 || n > 100000) return bad("bool", "minimum_should_match is out of range");
    if (percent) n = n >= 0 ? (int64_t)total * n / 100 : -((int64_t)total * -n / 100);
    if (n < 0) n += total;
    *out = n < 0 ? 0 : (uint32_t)n;
    return OK;
}

static err_t boolean(const struct json_val *v, struct arena *a, unsigned depth, struct lq **out)
{
    static const char *const keys[] = { "must", "must_not", "should", "filter", "minimum_should_match", "boost",
        "adjust_pure_negative", NULL };
    if (v->type != JSON_OBJ) return bad("bool", "must be an object");
    TRY(only_keys(v, "bool", keys));
    struct lq *q = *out = lq_new(a, LQ_BOOL);
    TRY(clause_list(json_get(v, "must"), a, depth, &q->must, &q->nmust));
    TRY(clause_list(json_get(v, "filter"), a, depth, &q->must, &q->nmust));
    TRY(clause_list(json_get(v, "should"), a, depth, &q->should, &q->nshould));
    TRY(clause_list(json_get(v, "must_not"), a, depth, &q->must_not, &q->nmust_not));
    q->min_should = q->nmust == 0 && q->nshould > 0;
    const struct json_val *min = json_get(v, "minimum_should_match");
    return min ? minimum(min, q->nshould, &q->min_should) : OK;
}

static err_t convert(const struct json_val *v, struct arena *a, unsigned depth, struct lq **out)
{
    if (depth > LQ_DEPTH_MAX) return err_set(ERR_INVALID, "queries nest deeper than %d", LQ_DEPTH_MAX);
    if (v->type != JSON_OBJ || v->n != 1) return err_set(ERR_INVALID, "a query is an object with one key, its kind");
    TRY(arena_check(a));
    const struct json_val *b = v + 1;
    struct str k = b->key;
    if (str_is(k, "bool")) return boolean(b, a, depth, out);
    if (str_is(k, "query_string") || str_is(k, "simple_query_string")) return query_string(b, a, out);
    if (str_is(k, "term")) return term(b, a, out);
    if (str_is(k, "terms")) return terms(b, a, out);
    if (str_is(k, "range")) return range(b, a, out);
    if (str_is(k, "exists")) return exists(b, a, out);
    if (str_is(k, "match")) return text_query(b, a, "match", LQ_OR_WORDS, false, out);
    if (str_is(k, "match_phrase")) return text_query(b, a, "match_phrase", LQ_PHRASE, false, out);
    if (str_is(k, "match_phrase_prefix")) return text_query(b, a, "match_phrase_prefix", LQ_PHRASE, true, out);
    if (str_is(k, "match_bool_prefix")) return text_query(b, a, "match_bool_prefix", LQ_OR_WORDS, true, out);
    if (str_is(k, "multi_match")) return multi_match(b, a, out);
    if (str_is(k, "prefix")) return pattern(b, a, "prefix", LQ_PREFIX, out);
    if (str_is(k, "wildcard")) return pattern(b, a, "wildcard", LQ_WILDCARD, out);
    if (str_is(k, "regexp")) return pattern(b, a, "regexp", LQ_REGEX, out);
    if (str_is(k, "match_all")) return *out = lq_new(a, LQ_ALL), OK;
    if (str_is(k, "match_none")) return *out = lq_new(a, LQ_NONE), OK;
    return err_set(ERR_INVALID, "unknown query kind `" STR_FMT "`", STR_ARG(k));
}

err_t lq_from_dsl(const struct json_val *v, struct arena *a, struct lq **out)
{
    return convert(v, a, 1, out);
}
