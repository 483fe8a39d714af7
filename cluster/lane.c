#include "cluster/lane.h"

#include "base/core/assert.h"
#include "base/core/bytes_out.h"
#include "base/core/metric.h"
#include "cluster/cluster_int.h"

/* -- bytes -------------------------------------------------------------------------------------------------- */
size_t lane_begin(struct buf *out)
{
    uint32_t none = 0;
    buf_put(out, &none, sizeof none);
    return out->n;
}

void lane_end(struct buf *out, size_t begin)
{
    if (out->failed) return;
    ASSERT(out->n - begin <= UINT32_MAX);
    uint32_t n = (uint32_t)(out->n - begin);
    memcpy(out->p + begin - sizeof n, &n, sizeof n);
}

err_t lane_requests(struct str body, struct str out[LANE_REQUESTS], uint32_t *n)
{
    struct bytes_in in = bytes_in_of(body);
    for (*n = 0; *n == 0 || bytes_in_left(&in) > 0; ++*n) {
        uint32_t length;
        if (*n == LANE_REQUESTS) return err_set(ERR_CORRUPT, "a call has more than %d requests", LANE_REQUESTS);
        bytes_in_copy(&in, &length, sizeof length);
        out[*n] = bytes_in_raw(&in, length);
        if (in.bad) return err_set(ERR_CORRUPT, "a call with requests is cut");
    }
    return OK;
}

void lane_result_put(err_t e, const char *detail, struct buf *out)
{
    buf_byte(out, (uint8_t)e);
    bytes_out_str(out, str_n(detail, e == OK ? 0 : strnlen(detail, LANE_DETAIL_MAX)));
}

err_t lane_result_get(struct bytes_in *in)
{
    uint8_t code = bytes_in_u8(in);
    struct str detail = bytes_in_str(in);
    if (detail.n > LANE_DETAIL_MAX) in->bad = true;
    if (in->bad) return err_set(ERR_CORRUPT, "an answer to requests is cut");
    if (code == OK) return OK;
    return err_set(code < ERR_COUNT ? (err_t)code : ERR_INTERNAL, STR_FMT, STR_ARG(detail));
}

/* -- what waits ---------------------------------------------------------------------------------------------- */
/* Nothing of the lane waits for company any more. */
static void no_wait(struct lane *l)
{
    if (!l->gathers) return;
    l->gathers = false;
    timer_disarm(&l->due);
    atomic_fetch_sub_explicit(&l->c->gathering, 1, memory_order_relaxed);
}

static struct lane_item *take_all(struct lane *l)
{
    struct lane_item *first = l->head;
    no_wait(l);
    l->head = NULL;
    l->tail = &l->head;
    metric_add(M_REPLICATE_WAITING_BYTES, -(int64_t)l->bytes);
    l->bytes = 0;
    l->hurry = false;
    return first;
}

/* What goes in the next call; the rest, if any, hurries. Those that waited too long for the calls before them fail. */
static struct lane_item *take(struct lane *l, uint32_t *n, size_t *bytes)
{
    struct lane_item *first = take_all(l), *last;
    while (first && rt_now().ns - first->since.ns >= (int64_t)PUT_TIMEOUT_MS * NS_PER_MS) {
        struct lane_item *late = first;
        first = late->next;
        late->done(late, err_set(ERR_TIMEOUT, "a request waited too long for the ones before it"));
    }
    last = first;
    *n = first ? 1 : 0;
    *bytes = first ? first->bytes.n : 0;
    if (!first) return NULL;
    for (; last->next && *n < LANE_REQUESTS && *bytes + last->next->bytes.n <= LANE_CALL_BYTES; last = last->next, ++*n)
        *bytes += last->next->bytes.n;
    l->head = last->next;
    last->next = NULL;
    for (struct lane_item *it = l->head; it; it = it->next) {
        l->bytes += it->bytes.n;
        l->tail = &it->next;
    }
    metric_add(M_REPLICATE_WAITING_BYTES, (int64_t)l->bytes);
    l->hurry = l->head != NULL;
    return first;
}

static void all_done(struct lane_item *first, err_t e)
{
    struct err_record why = *err_record();
    for (struct lane_item *it = first, *next; it; it = next) {
        next = it->next;
        *err_record() = why;
        it->done(it, e);
    }
}

/* -- a call --------------------------------------------------------------------------------------------------- */
static void each_done(struct lane_item *first, struct str answer)
{
    struct bytes_in in = bytes_in_of(answer);
    for (struct lane_item *it = first, *next; it; it = next) {
        next = it->next;
        it->done(it, lane_result_get(&in));
    }
}

/* Of the youngest: none fails for the age of another. */
static mono_ns deadline_of(const struct lane_item *first)
{
    while (first->next)
        first = first->next;
    return mono_add(first->since, (int64_t)PUT_TIMEOUT_MS * NS_PER_MS);
}

/* As one body: a single one goes from where it lies. */
static err_t join(const struct lane_item *first, size_t bytes, struct buf *body, struct str *whole)
{
    *whole = first->bytes;
    if (!first->next) return OK;
    if (buf_reserve(body, bytes))
        for (const struct lane_item *it = first; it; it = it->next)
            buf_str(body, it->bytes);
    *whole = buf_view(body);
    return buf_check(body);
}

static void send_some(struct lane *l) MAY_YIELD
{
    enum { ANSWER_MAX = LANE_REQUESTS * (LANE_DETAIL_MAX + 4) };
    uint32_t n;
    size_t bytes;
    struct buf body, answer;
    struct lane_item *first = take(l, &n, &bytes);
    if (!first) return;
    struct rpc_call call = { .method = METHOD_PUT, .class = RT_REPLICATION, .answer_max = ANSWER_MAX, .deadline = deadline_of(first) };
    buf_init(&body, CALL_BYTES_MAX + LANE_CALL_BYTES, &l->c->memory);
    buf_init(&answer, ANSWER_MAX, NULL);
    err_t e = join(first, bytes, &body, &call.body);
    metric_add(M_REPLICATE_SENT, n);
    metric_add(M_REPLICATE_CALLS, 1);
    if (e == OK) e = peer_call(l->peer, &call, &answer);
    if (e != OK || answer.n == 0) {
        all_done(first, e);
    } else {
        each_done(first, buf_view(&answer));
    }
    buf_deinit(&body);
    buf_deinit(&answer);
}

static void call_fiber(void *arg)
{
    struct lane *l = arg;
    do {
        send_some(l);
    } while (l->hurry);
    l->calls--;
    peer_put(l->peer);
}

static void start_call(struct lane *l)
{
    const struct fiber_opts fo = { .name = "replicate", .class = RT_REPLICATION };
    if (!l->hurry || l->calls == LANE_CALLS) return;
    err_t e = fiber_start(&core_here(l->c)->sends, &fo, call_fiber, l);
    if (e == OK) {
        l->calls++;
        peer_hold(l->peer);
    } else if (l->calls == 0) {
        all_done(take_all(l), e);
    }
}

static void on_due(struct timer *t)
{
    lane_hurry(CONTAINER_OF(t, struct lane, due));
}

/* -- the lane ---------------------------------------------------------------------------------------------------- */
void lane_init(struct lane *l, struct cluster *c, struct peer *peer)
{
    *l = (struct lane){ .c = c, .peer = peer };
    l->tail = &l->head;
}

void lane_put(struct lane *l, struct lane_item *it, bool hurry)
{
    it->next = NULL;
    it->since = rt_now();
    if (l->closed) {
        it->done(it, err_set(ERR_CANCELED, "the node is stopping"));
        return;
    }
    *l->tail = it;
    l->tail = &it->next;
    l->bytes += it->bytes.n;
    metric_add(M_REPLICATE_WAITING_BYTES, (int64_t)it->bytes.n);
    if (hurry || l->hurry || l->bytes >= LANE_FULL) {
        lane_hurry(l);
    } else if (!l->gathers) {
        l->gathers = true;
        atomic_fetch_add_explicit(&l->c->gathering, 1, memory_order_relaxed);
        timer_arm(&l->due, mono_add(it->since, (int64_t)LANE_WAIT_MS * NS_PER_MS), on_due);
    }
}

void lane_hurry(struct lane *l)
{
    no_wait(l);
    l->hurry = l->head != NULL;
    start_call(l);
}

bool lane_idle(const struct lane *l)
{
    return !l->head && l->calls == 0;
}

void lane_close(struct lane *l)
{
    l->closed = true;
    err_t e = err_set(ERR_CANCELED, "the node is stopping");
    all_done(take_all(l), e);
}
