/* Names as small numbers: the same text always gets the same number, in the order of their first appearance. */
#ifndef QUERY_GRAPH_NAMES_H
#define QUERY_GRAPH_NAMES_H

#include "base/core/arena.h"
#include "base/core/htab.h"

enum { NAME_NONE = UINT32_MAX };

struct names {
    uint32_t n, max;   /* at most max names */
    struct str *v;     /* copies in mem */
    size_t cap;
    struct htab index;
    struct arena *mem;
};
void names_init(struct names *s, uint32_t max, struct arena *mem);
void names_deinit(struct names *s); /* the numbers and texts stay, as long as mem does */
/* The name's number, a new one if need be; NAME_NONE when there is no room for another. */
uint32_t names_add(struct names *s, struct str name);
/* NAME_NONE when it has none. */
uint32_t names_find(const struct names *s, struct str name);

#endif
