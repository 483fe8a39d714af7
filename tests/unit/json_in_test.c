/* JSON in: values, kinds of numbers, nesting, refusals, and text written back. */
#include "storage/json_in.h"

#include <criterion/criterion.h>

static struct arena mem;
static void setup(void) { arena_init(&mem, NULL); }
static void teardown(void) { arena_deinit(&mem); }
TestSuite(json_in, .init = setup, .fini = teardown);

static const struct json_val *parse(const char *z)
{
    const struct json_val *v = NULL;
    cr_assert_eq(json_parse(str_of(z), &mem, &v), OK, "%s: %s", z, err_detail());
    return v;
}

Test(json_in, round_trip)
{
    static const char *same[] = {
        "{}", "[]", "null", "true", "[[],{},[[1]]]", "{\"a\":{\"b\":[1,2.5,\"x\",null,false]},\"c\":{}}",
        "[18446744073709551615,-9223372036854775808,9223372036854775807]", "1.0", "\"\"", "[1.0,{\"\":0}]",
        "{\"a\":[{\"b\":1},{\"b\":2}],\"d\":\"e\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        struct str text = json_val_text(parse(same[i]), &mem);
        cr_expect(str_is(text, same[i]), "%s became %.*s", same[i], STR_ARG(text));
    }
}

Test(json_in, access)
{
    const struct json_val *v = parse("{\"a\": [1, {\"x\": 2}, 3], \"b\": -7, \"b\": 8, \"u\": 18446744073709551615, \"f\": 2e0}");
    cr_assert_eq(v->n, 5);
    cr_expect_eq(json_get(v, "b")->i64, 8);
    cr_expect_null(json_get(v, "zz"));
    cr_expect_eq(json_get(v, "u")->type, JSON_U64);
    int64_t i;
    cr_expect(!json_to_i64(json_get(v, "u"), &i));
    cr_expect(json_to_i64(json_get(v, "f"), &i) && i == 2);
    const struct json_val *c;
    unsigned n = 0;
    JSON_EACH(c, json_get(v, "a")) n += c->type == JSON_OBJ ? 10 : 1;
    cr_expect_eq(n, 12);
}

Test(json_in, refusals)
{
    static const char *bad[] = { "", " ", "{", "[1,]", "{\"a\"}", "nul", "1 2", "\"\x80\"", "[1}", "01", "{\"a\":1}}" };
    const struct json_val *v;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_expect_eq(json_parse(str_of(bad[i]), &mem, &v), ERR_INVALID, "%s", bad[i]);
    char deep[400];
    memset(deep, '[', 200);
    memset(deep + 200, ']', 200);
    cr_expect_eq(json_parse(str_n(deep, 400), &mem, &v), ERR_INVALID);
    cr_expect_eq(json_parse(str_n(deep + 140, 120), &mem, &v), OK, "60 levels: %s", err_detail());
}
