/* The PromQL parser on any bytes: no crash, and what parses prints to text that parses to the same text. */
#include "base/core/arena.h"
#include "base/core/assert.h"
#include "base/core/buf.h"
#include "query/promql/ast.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct pq_ast ast, again;
    struct buf one, two;
    arena_init(&a, NULL);
    buf_init(&one, 1 << 26, NULL);
    buf_init(&two, 1 << 26, NULL);
    if (pq_parse(str_n(data, size), &a, &ast) == OK) {
        pq_print(ast.root, &one);
        if (one.n <= PQ_QUERY_BYTES_MAX) {
            err_t e = pq_parse(buf_view(&one), &a, &again);
            ASSERT(e == OK);
            pq_print(again.root, &two);
            ASSERT(str_eq(buf_view(&one), buf_view(&two)));
            pq_ast_deinit(&again);
        }
    }
    pq_ast_deinit(&ast);
    buf_deinit(&one);
    buf_deinit(&two);
    arena_deinit(&a);
    return 0;
}
