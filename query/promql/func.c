#include "query/promql/func.h"

static const struct pq_func funcs[] = {
#define FUNC(id, name, class, ret, nargs, variadic, ...) { id, name, class, ret, nargs, variadic, { __VA_ARGS__ } },
#include "query/promql/func.def"
#undef FUNC
};

const struct pq_func *pq_func_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(funcs); i++)
        if (str_is(name, funcs[i].name)) return &funcs[i];
    return NULL;
}
