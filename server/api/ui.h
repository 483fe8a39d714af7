/* Port 3000's own routes: the pages and assets of the UI, and /api/ui/status. rq->user is a struct ui_ctx.
 *
 * Every page of the UI is the same index.html, which carries a nonce of its own in each answer (see ui.c) and is not
 * stored by browsers. Assets have their content's hash in their names: they are immutable, with an ETag, and sent as they
 * were compressed at build time. With ui.dir set, both come from that folder instead of the program: for development. */
#ifndef SERVER_API_UI_H
#define SERVER_API_UI_H

#include "base/core/config.h"
#include "server/api/admin.h"
#include "server/api/ui_bundle.h"

/* Was something counted lately? Asked by each poll; all reactors share it, and a lost race tells the same twice. */
struct ui_recent {
    _Atomic int64_t count;                 /* at the last poll */
    _Atomic int64_t polled_ns, counted_ns; /* monotonic; 0 = never */
};

/* How long has something been so at every poll, of polls that are at most UI_POLLS_S apart? Of a thing that comes and goes
 * between polls that is a guess: what is told of it says since when it was seen. */
enum { UI_POLLS_S = 60 };
struct ui_lasting {
    _Atomic int64_t polled_ns, since_ns; /* monotonic; since 0 = it is not so */
};
int64_t ui_lasts_ns(struct ui_lasting *l, bool is_so, int64_t now_ns);

struct ui_ctx {
    const struct ui_bundle *bundle;
    const char *dir;                 /* "" = the bundle is served */
    const struct config *config;
    const struct admin_state *admin; /* its store is NULL while the log is replayed */
    struct budget *bodies, *queries; /* of all requests: look-ups are charged to queries, refusals are told of */
    struct { const char *name; uint16_t port; } ports[6];
    struct ui_recent ingest_refused, queries_refused;
    struct ui_lasting merges_wait;
};

/* GET /, /explore/..., /trace/ID, ... and /assets/...; also while the log is replayed. */
extern const struct http_route ui_page_routes[];
extern const uint32_t ui_page_nroutes;
void ui_page_on_error(const struct http_request *rq, int status, err_t code, const char *detail, struct http_response *rs);

/* GET /api/ui/status, also while the log is replayed:
 *   { version, backend, ready, ports: {name: port}, data: {spans, logs, series: does the tenant have any; null while it is
 *     not known}, merges: {running, waiting: cores of which a merge is due and waits, done, failed: since the start},
 *     cluster: {alive, suspect, dead: members of that state, writes: can every row be written to as many nodes as must have it?,
 *       incomplete: what answers may lack, in words, or ""}, or null for a node that is alone or starts,
 *     banners: [{level: "warn" | "error", text, page: the path of the page that shows more, where there is one}] } */
extern const struct http_route ui_status_routes[];
extern const uint32_t ui_status_nroutes;

#endif
