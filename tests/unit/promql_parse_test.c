#include <criterion/criterion.h>
#include <stdio.h>

#include "base/core/arena.h"
#include "base/core/buf.h"
#include "query/promql/ast.h"
#include "query/promql/number.h"

static err_t parse(const char *z, char *out, size_t max)
{
    struct arena a;
    struct pq_ast ast;
    struct buf b;
    arena_init(&a, NULL);
    buf_init(&b, 1 << 20, NULL);
    err_t e = pq_parse(str_of(z), &a, &ast);
    if (e == OK) {
        pq_print(ast.root, &b);
        snprintf(out, max, "%.*s", (int)b.n, b.p);
    } else {
        snprintf(out, max, "%s", err_detail());
    }
    pq_ast_deinit(&ast);
    buf_deinit(&b);
    arena_deinit(&a);
    return e;
}

/* What reads, and how it is printed; "" = as it stands. Every printed form reads back to itself. */
static const struct { const char *in, *out; } accepted[] = {
    { "1", "" }, { "1+1", "1 + 1" }, { ".5", "0.5" }, { "0x1F", "31" }, { "1_000", "1000" }, { "5e-3", "0.005" },
    { "-1", "" }, { "+Inf", "" }, { "-inf", "-Inf" }, { "nan", "NaN" }, { "1h30m", "" }, { "1.e3", "1000" },
    { "\"a\\\"b\"", "" }, { "'single'", "\"single\"" }, { "`ra\\w`", "\"ra\\\\w\"" },
    { "foo", "" }, { "foo:bar", "" }, { "foo{}", "foo" }, { "foo{a=\"b\",}", "foo{a=\"b\"}" },
    { "{a=\"b\"}", "" }, { "{\"my.metric\"}", "{__name__=\"my.metric\"}" }, { "{\"my.metric\",\"x.y\"=\"z\"}", "{\"x.y\"=\"z\",__name__=\"my.metric\"}" },
    { "foo{a!=\"b\", c=~\"d.*\", e!~\"f|g\"}", "foo{a!=\"b\",c=~\"d.*\",e!~\"f|g\"}" },
    { "sum", "" }, { "offset", "" }, { "fill", "" }, { "by + on_x", "" }, { "start", "" },
    { "foo offset 5m", "" }, { "foo offset -5m", "" }, { "foo[5m] offset 1h", "" },
    { "foo @ 123.5", "foo @ 123.500" }, { "foo @ start()", "" }, { "foo[5m] @ end() offset 1m", "" },
    { "foo offset (2 * 30s)", "foo offset (2 * 30s)" }, { "foo offset -step()", "" },
    { "rate(foo[step()+1])", "rate(foo[step() + 1])" }, { "rate(foo[max_of(1m, range())])", "" },
    { "foo offset 2 ^ 2", "foo offset 2s ^ 2" },
    { "rate(foo[5m] anchored)", "" }, { "foo smoothed", "" },
    { "max_over_time(rate(foo[5m])[1h:1m] @ 100 offset 5m)", "max_over_time(rate(foo[5m])[1h:1m] @ 100.000 offset 5m)" },
    { "foo[5m:]", "" }, { "-foo ^ 2", "" }, { "2 ^ 3 ^ 2", "" }, { "a + b * c", "" }, { "(a + b) * c", "" },
    { "a and b or c unless d", "" }, { "a atan2 b", "" }, { "a </ 5", "" }, { "a >/ 5", "" },
    { "a == bool b", "" }, { "1 == bool 1", "" },
    { "a * on (x, y) group_left (z) b", "" }, { "a / ignoring(x) group_right b", "a / ignoring (x) group_right () b" },
    { "a + fill(0) b", "a + fill (0) b" }, { "a + on(x) fill_left(-1) fill_right(NaN) b",
                                              "a + on (x) fill_left (-1) fill_right (NaN) b" },
    { "sum by (job) (foo)", "sum by (job) (foo)" }, { "SUM(foo) WITHOUT (a)", "sum without (a) (foo)" },
    { "topk(3, foo)", "" }, { "count_values(\"v\", foo)", "" }, { "sum by (\"x.y\") (foo)", "" },
    { "histogram_quantile(0.9, sum by (le) (rate(foo_bucket[5m])))", "" },
    { "label_replace(foo, \"a\", \"$1\", \"b\", \"(.*)\")", "" }, { "time()", "" }, { "absent(foo)", "" },
    { "info(foo, {data=~\".*\"})", "" }, { "round(foo)", "" }, { "round(foo, 0.1)", "" }, { "day_of_week()", "" },
    { "foo # comment\n + bar", "foo + bar" }, { "sum(foo) by (job, )", "sum by (job) (foo)" },
    { "limitk(2, foo)", "" }, { "foo{on=\"x\", bool=\"y\", inf=\"1\"}", "foo{bool=\"y\",inf=\"1\",on=\"x\"}" },
};

Test(promql_parse, accepts)
{
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
        char got[1024], again[1024];
        err_t e = parse(accepted[i].in, got, sizeof got);
        cr_assert_eq(e, OK, "%s: %s", accepted[i].in, got);
        cr_expect_str_eq(got, accepted[i].out[0] ? accepted[i].out : accepted[i].in);
        e = parse(got, again, sizeof again);
        cr_assert_eq(e, OK, "%s: %s", got, again);
        cr_expect_str_eq(got, again);
    }
}

static const struct { const char *in, *message; } rejected[] = {
    { "", "unknown position: parse error: no expression found in input" },
    { " # nothing", "1:1: parse error: no expression found in input" },
    { "1 +", "1:4: parse error: unexpected end of input" },
    { "foo{", "1:5: parse error: unexpected end of input inside braces" },
    { "foo{a}", "1:6: parse error: unexpected \"}\" in label matching, expected label matching operator" },
    { "foo{a=1}", "1:7: parse error: unexpected character inside braces: '1'" },
    { "{}", "1:1: parse error: vector selector must contain at least one non-empty matcher" },
    { "{a=\"\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher" },
    { "{a=~\".*\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher" },
    { "foo{__name__=\"bar\"}", "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\"" },
    { "1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier" },
    { "1 and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression" },
    { "1 + \"a\"", "1:5: parse error: binary expression must contain only scalar and instant vector types" },
    { "foo + bool bar", "1:5: parse error: bool modifier can only be used on comparison operators" },
    { "foo and on(a) group_left bar", "1:1: parse error: no grouping allowed for \"and\" operation" },
    { "foo and fill(0) bar", "1:1: parse error: filling in missing series not allowed for set operators" },
    { "foo * on(a) group_left(a) bar",
      "1:5: parse error: label \"a\" must not occur in ON and GROUP clause at once" },
    { "rate(foo)", "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector" },
    { "rate(foo[5m], 1)", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2" },
    { "rate(foo[5m],)", "1:13: parse error: trailing commas not allowed in function call args" },
    { "round()", "1:1: parse error: expected at least 1 argument(s) in call to \"round\", got 0" },
    { "round(foo,1,2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3" },
    { "nope(foo)", "1:1: parse error: unknown function with name \"nope\"" },
    { "sum(foo[5m])",
      "1:5: parse error: expected type instant vector in aggregation expression, got range vector" },
    { "topk(foo)", "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1" },
    { "sum()", "1:1: parse error: no arguments for aggregate expression provided" },
    { "(foo + bar)[5m]", "1:12: parse error: ranges only allowed for vector selectors" },
    { "foo offset 5m [5m]", "1:15: parse error: no offset modifiers allowed before range" },
    { "foo @ 5 [5m]", "1:9: parse error: no @ modifiers allowed before range" },
    { "sum(foo) offset 5m", "1:1: parse error: offset modifier must be preceded by an instant vector selector or "
                            "range vector selector or a subquery" },
    { "foo offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times" },
    { "-\"a\"", "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, "
               "got \"string\"" },
    { "foo)", "1:5: parse error: unexpected right parenthesis ')'" },
    { "(foo", "1:5: parse error: unclosed left parenthesis" },
    { "foo[5m", "1:7: parse error: unclosed left bracket" },
    { "sum(foo) on bar", "1:10: parse error: unexpected <on>" },
    { "foo bar", "1:5: parse error: unexpected identifier \"bar\"" },
    { "foo\n$", "2:1: parse error: unexpected character: '$'" },
    { "\"abc", "1:1: parse error: unterminated quoted string" },
    { "5mm", "1:1: parse error: bad number or duration syntax: \"5mm\"" },
    { "1s5m", "1:1: parse error: not a valid duration string: \"1s5m\"" },
    { "0b11", "1:1: parse error: bad number or duration syntax: \"0\"" },
    { "1e400", "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e400\": value out of range" },
    { "0x", "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"0x\": invalid syntax" },
    { "foo =~ \"x\"", "1:5: parse error: unexpected character after '=': '~'" },
    { "foo{a!~", "1:8: parse error: unexpected end of input inside braces" },
    { "{=~", "1:2: parse error: unexpected <op:=~> in label matching, expected identifier or \"}\"" },
    { "{\"a\" \"b\"}", "1:6: parse error: unexpected string \"\\\"b\\\"\" in label matching, expected \",\" or \"}\"" },
    { "}", "1:1: parse error: unexpected character: '}'" },
    { "é", "1:1: parse error: unexpected character: 'é'" },
    { "\"\\x\"", "1:1: parse error: illegal character U+0022 '\"' in escape sequence" },
    { "\"\\q\"", "1:1: parse error: unknown escape sequence U+0071 'q'" },
    { "foo[]", "1:5: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()" },
    { "foo[5m)", "1:8: parse error: unexpected right parenthesis ')'" },
    { "(foo[1)", "1:7: parse error: unexpected \")\" in subquery or range, expected \":\" or \"]\"" },
    { "foo[5m:)]", "1:9: parse error: unexpected right parenthesis ')'" },
    { "foo[x]", "1:5: parse error: unexpected character in duration expression: 'x'" },
    { "foo[5m x]", "1:8: parse error: unexpected character: 'x', expected ':'" },
    { "foo[step():1m]", "1:12: parse error: unexpected colon before duration in duration expression" },
    { "foo[0]", "1:5: parse error: duration must be greater than 0" },
    { "foo[1m/0]", "1:7: parse error: division by zero" },
    { "foo offset", "1:11: parse error: unexpected end of input in offset, expected number, duration, step(), or range()" },
    { "foo @ x", "1:7: parse error: unexpected identifier \"x\" in @, expected timestamp" },
    { "sum(rate([2m]))", "1:10: parse error: unexpected \"[\" in aggregation" },
    { "sum foo", "1:5: parse error: unexpected identifier \"foo\"" },
    { "sum by foo", "1:8: parse error: unexpected identifier \"foo\" in grouping opts, expected \"(\"" },
    { "sum by (a b)", "1:11: parse error: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"" },
    { "sum by (without) (foo)", "1:9: parse error: unexpected <without> in grouping opts, expected label" },
    { "foo sum", "1:5: parse error: unexpected <aggr:sum>" },
    { "foo a:b", "1:5: parse error: unexpected metric identifier \"a:b\"" },
    { "foo \"a long string\"", "1:5: parse error: unexpected string \"\\\"a long st\"..." },
    { "rate(foo=1)", "1:9: parse error: unexpected \"=\"" },
    { "min step", "1:5: parse error: unexpected \"step\"" },
    { "nope(", "1:6: parse error: unclosed left parenthesis" },
    { "f(1,[", "1:4: parse error: trailing commas not allowed in function call args" },
    { "foo[5m] anchored smoothed", "1:1: parse error: anchored and smoothed modifiers cannot be used together" },
    { "info(foo, bar{a=\"b\"})", "1:11: parse error: expected label selectors only, got vector selector instead" },
    { "info(foo, 1)", "1:1: parse error: expected type instant vector in call to function \"info\", got scalar" },
    { "foo[5m][5m:]", "1:1: parse error: subquery is only allowed on instant vector, got matrix instead" },
    { "1[5m:]", "1:1: parse error: subquery is only allowed on instant vector, got scalar instead" },
};

Test(promql_parse, rejects_with_prometheus_words)
{
    for (size_t i = 0; i < ARRAY_LEN(rejected); i++) {
        char got[1024];
        cr_expect_eq(parse(rejected[i].in, got, sizeof got), ERR_INVALID, "%s: accepted", rejected[i].in);
        cr_expect_str_eq(got, rejected[i].message, "%s:\n got %s\nwant %s", rejected[i].in, got, rejected[i].message);
    }
}

Test(promql_parse, bad_regex_is_named)
{
    char got[1024];
    cr_assert_eq(parse("foo{a=~\"(\"}", got, sizeof got), ERR_INVALID);
    cr_assert_str_eq(got, "1:5: parse error: error parsing regexp: missing closing ): `(`");
}

/* Neither nesting nor a long chain makes a tree deeper than the limit. */
Test(promql_parse, depth_is_bounded)
{
    char q[4096] = "", got[1024];
    for (int i = 0; i < 70; i++) strcat(q, "(");
    strcat(q, "1");
    for (int i = 0; i < 70; i++) strcat(q, ")");
    cr_assert_eq(parse(q, got, sizeof got), ERR_INVALID);
    cr_assert(strstr(got, "nested deeper than 64"), "%s", got);
    strcpy(q, "a");
    for (int i = 0; i < 70; i++) strcat(q, "+a");
    cr_assert_eq(parse(q, got, sizeof got), ERR_INVALID);
    strcpy(q, "a");
    for (int i = 0; i < 60; i++) strcat(q, "+a");
    cr_assert_eq(parse(q, got, sizeof got), OK);
    strcpy(q, "a[");
    for (int i = 0; i < 500; i++) strcat(q, "-");
    strcat(q, "1m]");
    cr_assert_eq(parse(q, got, sizeof got), ERR_INVALID);
    strcpy(q, "");
    for (int i = 0; i < 500; i++) strcat(q, "-");
    strcat(q, "a");
    cr_assert_eq(parse(q, got, sizeof got), ERR_INVALID);
}

Test(promql_parse, numbers_are_written_as_go_does)
{
    static const struct { double v; const char *f, *g, *api; } t[] = {
        { 0, "0", "0", "0" }, { 1.5, "1.5", "1.5", "1.5" }, { -2, "-2", "-2", "-2" },
        { 1e21, "1000000000000000000000", "1e+21", "1e+21" }, { 123456789012, "123456789012", "1.23456789012e+11",
                                                              "123456789012" }, { 999999.5, "999999.5", "999999.5", "999999.5" },
        { 1e-5, "0.00001", "1e-05", "0.00001" }, { 1.5e-7, "0.00000015", "1.5e-07", "1.5e-07" },
        { 0.1, "0.1", "0.1", "0.1" }, { 1e20, "100000000000000000000", "1e+20", "100000000000000000000" },
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        char out[PQ_NUMBER_MAX + 1];
        out[pq_format_f(t[i].v, out)] = 0;
        cr_expect_str_eq(out, t[i].f);
        out[pq_format_g(t[i].v, out)] = 0;
        cr_expect_str_eq(out, t[i].g);
        out[pq_format_api(t[i].v, out)] = 0;
        cr_expect_str_eq(out, t[i].api);
    }
}
