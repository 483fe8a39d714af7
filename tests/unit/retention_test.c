#include "storage/retention.h"

#include <criterion/criterion.h>

static struct seg_info seg(int64_t tmax_ns, uint64_t bytes)
{
    return (struct seg_info){ .tmax_ns = tmax_ns, .bytes = bytes };
}

Test(retention, off_keeps_everything)
{
    struct seg_info s[] = { seg(0, 1 << 30), seg(-5, 1 << 30) };
    const struct retention_rule off = { 0 };
    cr_assert_eq(retention_pick(&off, (unix_ns){ INT64_MAX }, s, 2), 0);
}

Test(retention, age)
{
    struct seg_info s[] = { seg(500, 1), seg(100, 1), seg(899, 1), seg(900, 1) };
    const struct retention_rule r = { .age_ns = 100 };
    cr_assert_eq(retention_pick(&r, (unix_ns){ 1000 }, s, 4), 3);
    cr_assert_eq(s[0].tmax_ns, 100);
    cr_assert_eq(s[3].tmax_ns, 900);
    const struct retention_rule forever = { .age_ns = INT64_MAX };
    cr_assert_eq(retention_pick(&forever, (unix_ns){ 1000 }, s, 4), 0);
    cr_assert_eq(retention_pick(&forever, (unix_ns){ -1000 }, s, 4), 0);
}

Test(retention, share_takes_the_oldest_rows_first)
{
    struct seg_info s[] = { seg(30, 100), seg(10, 100), seg(20, 100) };
    const struct retention_rule r = { .bytes_max = 150 };
    cr_assert_eq(retention_pick(&r, (unix_ns){ 0 }, s, 3), 2);
    cr_assert_eq(s[0].tmax_ns, 10);
    cr_assert_eq(s[1].tmax_ns, 20);
    const struct retention_rule enough = { .bytes_max = 300 };
    cr_assert_eq(retention_pick(&enough, (unix_ns){ 0 }, s, 3), 0);
    cr_assert_eq(retention_pick(&enough, (unix_ns){ 0 }, s, 0), 0);
}
