/* Dates: text to nanoseconds and back. */
#include "base/core/datetime.h"
#include "base/core/prng.h"

#include <criterion/criterion.h>

Test(datetime, known)
{
    static const struct { const char *s; int64_t ns; } t[] = {
        { "1970-01-01T00:00:00Z", 0 }, { "2015-02-01", INT64_C(1422748800000000000) },
        { "2015/02/01", INT64_C(1422748800000000000) }, { "2015-02-01T01:00:00+01:00", INT64_C(1422748800000000000) },
        { "2015-01-10T14:00:00.000000001Z", INT64_C(1420898400000000001) }, { "1969-12-31T23:59:59.5Z", -500000000 },
        { "2016-02-29 12:00", INT64_C(1456747200000000000) }, { "1684993002", INT64_C(1684993002000000000) },
        { "1422748813000", INT64_C(1422748813000000000) }, { "1684993002.5", INT64_C(1684993002500000000) },
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        int64_t ns = 0;
        cr_expect(datetime_parse_any(str_of(t[i].s), &ns), "%s", t[i].s);
        cr_expect_eq(ns, t[i].ns, "%s: %lld", t[i].s, (long long)ns);
    }
    static const char *bad[] = { "", "2015", "2015-13-01", "2015-02-30", "2015-02-01T", "2015-02-01T25:00:00Z", "2015-02-01x",
        "2015-02-01T10:00:00+1", "9999-01-01", "nan", "1e300" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t ns;
        if (i == 1) continue; /* a number */
        cr_expect(!datetime_parse_any(str_of(bad[i]), &ns), "%s", bad[i]);
    }
    int64_t ns;
    cr_expect(datetime_parse_java(STR("2015|02|01 T00:00:00.001999Z"), STR("yyyy|MM|dd 'T'HH:mm:ss.SSSSSS'Z'"), &ns));
    cr_expect_eq(ns, INT64_C(1422748800001999000));
    cr_expect(datetime_parse_java(STR("5"), STR("yyyy||epoch_millis"), &ns) && ns == 5000000);
    cr_expect(datetime_parse_strptime(STR("2015-02-01 00:00:13"), STR("%Y-%m-%d %H:%M:%S"), &ns) && ns == INT64_C(1422748813000000000));
}

Test(datetime, round_trip)
{
    struct prng r;
    prng_init(&r, 1);
    for (int i = 0; i < 20000; i++) {
        int64_t ns = (int64_t)prng_below(&r, UINT64_C(16000000000000000000)) - INT64_C(8000000000000000000), back = 0;
        char text[DATETIME_TEXT_MAX];
        size_t n = datetime_format(ns, text);
        cr_assert(datetime_parse(str_n(text, n), &back) && back == ns, "%.*s", (int)n, text);
    }
}
