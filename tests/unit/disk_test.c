/* How full is too full, and how large the ballast: the pure part of disk.h. */
#include "storage/disk.h"

#include <criterion/criterion.h>

static const double SHARES[DISK_LEVELS] = { 0, 0.85, 0.9, 0.95 };

Test(disk, levels_rise_at_their_shares)
{
    static const struct { double used; enum disk_level level; } want[] = {
        { 0, DISK_ROOM }, { 0.8499, DISK_ROOM }, { 0.85, DISK_TIGHT }, { 0.8999, DISK_TIGHT }, { 0.9, DISK_FULL }, { 0.9499, DISK_FULL },
        { 0.95, DISK_STOP }, { 1, DISK_STOP },
    };
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        cr_assert_eq(disk_level_of(want[i].used, DISK_ROOM, SHARES), want[i].level, "used %g", want[i].used);
}

Test(disk, levels_are_left_below_their_shares)
{
    cr_assert_eq(disk_level_of(0.945, DISK_STOP, SHARES), DISK_STOP);
    cr_assert_eq(disk_level_of(0.939, DISK_STOP, SHARES), DISK_FULL);
    cr_assert_eq(disk_level_of(0.895, DISK_FULL, SHARES), DISK_FULL);
    cr_assert_eq(disk_level_of(0.889, DISK_FULL, SHARES), DISK_TIGHT);
    cr_assert_eq(disk_level_of(0.895, DISK_TIGHT, SHARES), DISK_TIGHT, "what is not reached has no slack");
    cr_assert_eq(disk_level_of(0.839, DISK_STOP, SHARES), DISK_ROOM, "all at once");
}

Test(disk, a_share_of_zero_is_never_reached)
{
    const double some[DISK_LEVELS] = { 0, 0, 0.5, 0 };
    cr_assert_eq(disk_level_of(0.4, DISK_ROOM, some), DISK_ROOM);
    cr_assert_eq(disk_level_of(1, DISK_ROOM, some), DISK_FULL);
}

Test(disk, ballast_is_small_and_none_on_tiny_disks)
{
    const uint64_t gib = UINT64_C(1) << 30;
    cr_assert_eq(disk_ballast_size(gib, 1000 * gib), gib);
    cr_assert_eq(disk_ballast_size(gib, 50 * gib), gib / 2);
    cr_assert_eq(disk_ballast_size(gib, 64 << 20), 0);
    cr_assert_eq(disk_ballast_size(0, 1000 * gib), 0);
}
