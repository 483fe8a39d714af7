/* Plans and partial states of all kinds of fragments, of which tests/fuzz/corpus/fragment has examples: what reads writes itself
 * again, what is cut off anywhere is refused, and what has a byte changed is refused or reads as something else, without harm. */
#include "base/core/bytes_in.h"
#include "base/core/prng.h"
#include "query/fragments.h"
#include "server/api/fragments.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>

enum { EXAMPLES_MAX = 400, EXAMPLE_BYTES_MAX = 1 << 16, CHANGES = 300, KINDS_LEAST = 12 };
static const char dir[] = "tests/fuzz/corpus/fragment";
static struct example {
    char name[256];
    const struct fragment_kind *kind;
    char *bytes;
    struct str plan, partial;
} examples[EXAMPLES_MAX];
static unsigned n;

static void load(void)
{
    DIR *d = opendir(dir);
    struct dirent *f;
    cr_assert(d, "%s is not there", dir);
    api_fragments_register();
    while ((f = readdir(d)) && n < EXAMPLES_MAX) {
        struct example *e = &examples[n];
        char path[512];
        if (f->d_name[0] == '.') continue;
        (void)snprintf(e->name, sizeof e->name, "%s", f->d_name);
        (void)snprintf(path, sizeof path, "%s/%s", dir, f->d_name);
        FILE *file = fopen(path, "rb");
        cr_assert(file);
        e->bytes = malloc(EXAMPLE_BYTES_MAX);
        struct bytes_in in = bytes_in_of(str_n(e->bytes, fread(e->bytes, 1, EXAMPLE_BYTES_MAX, file)));
        (void)fclose(file);
        e->kind = fragment_find(bytes_in_raw(&in, bytes_in_u8(&in)));
        e->plan = bytes_in_str(&in);
        e->partial = bytes_in_raw(&in, bytes_in_left(&in));
        if (e->kind && e->kind->plan_get && !in.bad) n++;
        else free(e->bytes);
    }
    (void)closedir(d);
    cr_assert(n >= KINDS_LEAST);
}

/* OK when both read to their ends. With `again`, what was read must write itself. */
static err_t read_both(const struct fragment_kind *k, struct str plan_bytes, struct str partial_bytes, bool again)
{
    struct budget budget;
    struct arena mem, answer;
    struct query q = { .tenant = STR("test"), .arena = &mem, .budget = &budget };
    struct bytes_in in = bytes_in_of(plan_bytes);
    const void *plan;
    void *partial;
    budget_init(&budget, "test", NULL, 256 << 20, ERR_LIMIT);
    arena_init(&mem, &budget);
    arena_init(&answer, &budget);
    err_t e = k->plan_get(&q, &in, &plan);
    bool has_plan = e == OK;
    if (e == OK && (in.bad || in.p != in.end)) e = ERR_CORRUPT;
    in = bytes_in_of(partial_bytes);
    if (e == OK) e = k->partial_get(plan, &in, &answer, &partial);
    if (e == OK && (in.bad || in.p != in.end)) e = ERR_CORRUPT;
    if (e == OK && again) {
        struct buf b;
        buf_init(&b, 1 << 20, NULL);
        k->plan_put(plan, &b);
        cr_expect(str_eq(buf_view(&b), plan_bytes), "the plan of %s changes", k->name);
        buf_clear(&b);
        k->partial_put(plan, partial, &b);
        cr_expect(str_eq(buf_view(&b), partial_bytes), "the partial of %s changes", k->name);
        buf_deinit(&b);
    }
    if (has_plan && k->plan_free) k->plan_free(plan);
    arena_deinit(&answer);
    arena_deinit(&mem);
    cr_assert_eq(atomic_load(&budget.used), 0, "%s keeps memory", k->name);
    return e;
}

Test(fragment_bytes, what_reads_writes_itself)
{
    load();
    for (unsigned i = 0; i < n; i++)
        cr_expect_eq(read_both(examples[i].kind, examples[i].plan, examples[i].partial, true), OK, "%s: %s", examples[i].name, err_detail());
}

Test(fragment_bytes, every_kind_of_query_has_examples)
{
    const struct fragment_kind *k;
    load();
    for (unsigned i = 0; (k = fragment_at(i)); i++) {
        bool has = false;
        for (unsigned x = 0; x < n; x++)
            has |= examples[x].kind == k;
        cr_expect(has || !k->plan_put, "%s has no example in %s", k->name, dir);
    }
}

Test(fragment_bytes, what_is_cut_off_is_refused)
{
    load();
    for (unsigned i = 0; i < n; i++) {
        const struct example *e = &examples[i];
        size_t plan_step = e->plan.n / 200 + 1, step = e->partial.n / 200 + 1;
        for (size_t at = 0; at < e->plan.n; at += plan_step)
            cr_expect_neq(read_both(e->kind, str_sub(e->plan, 0, at), e->partial, false), OK, "%s: plan of %zu bytes", e->name, at);
        for (size_t at = 0; at < e->partial.n; at += step)
            cr_expect_neq(read_both(e->kind, e->plan, str_sub(e->partial, 0, at), false), OK, "%s: partial of %zu bytes", e->name, at);
    }
}

/* Exact copies on the heap, so that a look behind the end is found. */
static struct str copy_of(struct str s)
{
    char *p = malloc(s.n + 1);
    if (s.n) memcpy(p, s.p, s.n);
    return str_n(realloc(p, s.n ? s.n : 1), s.n);
}

Test(fragment_bytes, a_changed_byte_does_no_harm)
{
    struct prng r;
    unsigned refused = 0;
    prng_init(&r, 1);
    load();
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < CHANGES; k++) {
            struct str plan = copy_of(examples[i].plan), partial = copy_of(examples[i].partial);
            struct str *s = plan.n && (k % 2 || !partial.n) ? &plan : &partial;
            if (s->n) {
                uint8_t *p = (uint8_t *)(uintptr_t)s->p;
                p[prng_below(&r, s->n)] = k % 3 ? (uint8_t)prng_below(&r, 256) : 0xff;
                refused += read_both(examples[i].kind, plan, partial, false) != OK;
            }
            free((void *)(uintptr_t)plan.p);
            free((void *)(uintptr_t)partial.p);
        }
    cr_expect_gt(refused, n * CHANGES / 10);
}
