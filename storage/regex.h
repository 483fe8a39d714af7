/* RE2 behind a C face (regex.cc): linear time, bounded memory. Matches whole strings; `.` matches newline,
 * as Prometheus and Tempo have it. Compiled objects are immutable and may be shared by threads. */
#ifndef STORAGE_REGEX_H
#define STORAGE_REGEX_H

#include "base/core/err.h"
#include "base/core/str.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { REGEX_PATTERN_MAX = 4096 };
struct regex;
/* ERR_INVALID with RE2's message. Never call on a fiber stack with deep patterns: regex.cc bounds nesting. */
MUST_CHECK err_t regex_new(struct str pattern, struct regex **out);
void regex_free(struct regex *r);
struct str regex_pattern(const struct regex *r); /* as regex_new was given it; lent by r */
bool regex_match(const struct regex *r, struct str s);
/* Matches the whole string, as regex_match, and gives the groups: groups[0] is the whole, groups[i] the pattern's
 * own group i, with p == NULL when it took no part. ngroups <= max and <= 64. For label_replace. */
bool regex_captures(const struct regex *r, struct str s, struct str *groups, int max, int *ngroups);
int regex_group_index(const struct regex *r, struct str name); /* named group, -1 = none */
/* A literal that every match starts with (possibly empty), and whether the pattern is that literal only. */
struct str regex_prefix(const struct regex *r, bool *whole);
/* Alternatives when the pattern is a plain a|b|c of literals: count, or 0. */
int regex_literals(const struct regex *r, const struct str **out);
/* Calls each with strings of which one at least stands, ASCII case aside, in every text that matches; they are ASCII, in
 * lower case. False when none are known. Compiles the pattern again. */
bool regex_atoms(const struct regex *r, void (*each)(void *arg, struct str atom), void *arg);

#ifdef __cplusplus
}
#endif

#endif
