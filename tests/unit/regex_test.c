#include "storage/regex.h"

#include <criterion/criterion.h>
#include <pthread.h>

Test(regex, matches_whole_strings)
{
    struct regex *re;
    cr_assert_eq(regex_new(STR("a.*|b"), &re), OK);
    cr_assert(regex_match(re, STR("a\nx")) && regex_match(re, STR("b")));
    cr_assert_not(regex_match(re, STR("xb")) || regex_match(re, STR("bx")) || regex_match(re, STR("")));
    regex_free(re);
    cr_assert_eq(regex_new(STR("("), &re), ERR_INVALID);
    static char big[REGEX_PATTERN_MAX + 1];
    memset(big, 'a', sizeof big);
    cr_assert_eq(regex_new(str_n(big, sizeof big), &re), ERR_INVALID);
    struct str g[5];
    int n;
    cr_assert_eq(regex_new(STR("(.*)-(?P<num>[0-9]+)(x)?"), &re), OK);
    cr_assert(regex_captures(re, STR("host-17"), g, 5, &n));
    cr_assert(n == 4 && str_is(g[0], "host-17") && str_is(g[1], "host") && str_is(g[2], "17") && !g[3].p);
    cr_assert_not(regex_captures(re, STR("host-17 "), g, 5, &n));
    cr_assert_eq(regex_group_index(re, STR("num")), 2);
    cr_assert_eq(regex_group_index(re, STR("nope")), -1);
    regex_free(re);
}

static void prefix_is(const char *pattern, const char *prefix, bool whole, int literals)
{
    struct regex *re;
    bool w;
    const struct str *lit;
    cr_assert_eq(regex_new(str_of(pattern), &re), OK);
    cr_assert(str_is(regex_prefix(re, &w), prefix), "%s", pattern);
    cr_assert_eq(w, whole, "%s", pattern);
    cr_assert_eq(regex_literals(re, &lit), literals, "%s", pattern);
    regex_free(re);
}

Test(regex, literals_and_prefixes)
{
    prefix_is("abc", "abc", true, 1);
    prefix_is("a\\.c", "a.c", true, 1);
    prefix_is("a|b|c", "", false, 3);
    prefix_is("(a|bb)", "", false, 2);
    prefix_is("(?:a|bb)", "", false, 2);
    prefix_is("a|", "", false, 0);
    prefix_is("", "", false, 0);
    prefix_is("abc.*", "abc", false, 0);
    prefix_is("abc*", "ab", false, 0);
    prefix_is("abc+", "abc", false, 0);
    prefix_is("abc{0,2}", "ab", false, 0);
    prefix_is("a\xC3\xA9?", "a", false, 0);
    prefix_is("^abc$", "abc", true, 0);
    prefix_is("abc.*|d", "", false, 0);
    prefix_is("abc(d|e)", "abc", false, 0);
    prefix_is("(?i)abc", "", false, 0);
    prefix_is("abc[(]|d", "", false, 0);
    prefix_is("(a)|(b)", "", false, 0);
}

static void *deep_regexes(void *arg)
{
    (void)arg;
    static char p[REGEX_PATTERN_MAX];
    struct regex *re;
    memset(p, '(', 190);
    memset(p + 190, 'a', 1);
    memset(p + 191, ')', 190);
    if (regex_new(str_n(p, 381), &re) != OK) return "190 deep is refused";
    if (!regex_match(re, STR("a"))) return "190 deep does not match";
    regex_free(re);
    memset(p, '(', 2000);
    memset(p + 2000, ')', 2000);
    if (regex_new(str_n(p, 4000), &re) != ERR_INVALID) return "2000 deep is taken";
    /* The nesting count cannot see these; RE2 must bear them on a small stack. */
    for (int i = 0; i < 680; i++)
        memcpy(p + i * 4, "([)]", 4);
    memset(p + 2720, ')', 680);
    if (regex_new(str_n(p, 3400), &re) == OK) regex_free(re);
    for (int i = 0; i < 1000; i++)
        memcpy(p + i * 4, "a**|", 4);
    if (regex_new(str_n(p, 3999), &re) == OK) regex_free(re);
    if (regex_new(STR("((((a{100}){100}){100}){100}){100}"), &re) == OK) return "a huge repetition is taken";
    return NULL;
}

Test(regex, on_a_small_stack)
{
    pthread_attr_t at;
    pthread_t th;
    void *why;
    pthread_attr_init(&at);
    pthread_attr_setstacksize(&at, 256 << 10);
    cr_assert_eq(pthread_create(&th, &at, deep_regexes, NULL), 0);
    pthread_join(th, &why);
    cr_assert_null(why, "%s", (char *)why);
    pthread_attr_destroy(&at);
}
