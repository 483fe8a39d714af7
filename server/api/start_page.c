#include "server/api/start_page.h"

static const char head[] =
    "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    "<title>Tercet</title><style>"
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:3rem auto;padding:0 1rem}"
    "h1{margin:0}p.sub{margin:.2rem 0 2rem;opacity:.7}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;padding:.35rem .8rem .35rem 0;border-bottom:1px solid #8884;vertical-align:top}"
    "pre{background:#8882;padding:1rem;border-radius:6px;overflow:auto;font-size:14px}code{font-size:.95em}"
    "</style><h1>Tercet</h1><p class=sub>Metrics, traces and logs in one place.";

static const struct { unsigned port; const char *what, *path, *label; } rows[] = {
    { 4317, "OTLP/gRPC: metrics, traces, logs from any OpenTelemetry SDK or Collector", NULL, NULL },
    { 4318, "OTLP/HTTP: protobuf and JSON, from browsers too", NULL, NULL },
    { 9090, "Prometheus API: PromQL, remote write",
      "/api/v1/query?query=count%20by(job)(%7B__name__!%3D%22%22%7D)", "series by job" },
    { 3200, "Tempo API: TraceQL search, traces by id", "/api/search?limit=10", "newest traces" },
    { 7280, "Quickwit API: log search, Elasticsearch side", "/api/v1/otel-logs-v0_9/search?query=*&format=pretty_json",
      "newest logs" },
};

static err_t page(struct http_request *rq, struct http_response *rs)
{
    const struct start_page_ctx *c = rq->user;
    struct buf *b = &rs->body;
    rs->content_type = "text/html; charset=utf-8";
    http_add_header(rq, rs, "content-security-policy", STR("default-src 'none'; style-src 'unsafe-inline'"));
    buf_z(b, head);
    buf_printf(b, " Version %s, I/O on %s.</p><h2>Endpoints</h2><table><tr><th>Port<th>What<th>Try</tr>", TERCET_VERSION,
               c->backend);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned port = rows[i].port + c->port_offset;
        buf_printf(b, "<tr><td><code>%u</code><td>%s<td>", port, rows[i].what);
        if (rows[i].path)
            buf_printf(b, "<a href='http://localhost:%u%s'>%s</a>", port, rows[i].path, rows[i].label);
        buf_z(b, "</tr>");
    }
    buf_printf(b,
               "</table><p>Every HTTP port also has <code>/healthz</code>, <code>/readyz</code> and <code>/metrics</code>."
               "<h2>Send the first telemetry</h2><p>Any OpenTelemetry SDK needs two variables:"
               "<pre>export OTEL_SERVICE_NAME=my-service\n"
               "export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:%u   # gRPC; %u for http/protobuf</pre>"
               "<p>Or by hand, one log line:<pre>"
               "curl -s http://localhost:%u/v1/logs -H 'content-type: application/json' -d '{\"resourceLogs\":[{\"resource\":"
               "{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"hello\"}}]},\"scopeLogs\":[{\"logRecords\":["
               "{\"severityText\":\"INFO\",\"body\":{\"stringValue\":\"it works\"}}]}]}]}'\n"
               "curl -s 'http://localhost:%u/api/v1/otel-logs-v0_9/search?query=service_name:hello'</pre>"
               "<h2>Grafana</h2><p>Add data sources of the types Prometheus, Tempo and Quickwit with the addresses "
               "<code>http://localhost:%u</code>, <code>http://localhost:%u</code> and <code>http://localhost:%u/api/v1</code>.",
               4317 + c->port_offset, 4318 + c->port_offset, 4318 + c->port_offset, 7280 + c->port_offset, 9090 + c->port_offset,
               3200 + c->port_offset, 7280 + c->port_offset);
    return buf_check(b);
}

const struct http_route start_page_routes[] = { { HTTP_GET | HTTP_HEAD, "/", page, RT_MEMBERSHIP } };
const uint32_t start_page_nroutes = ARRAY_LEN(start_page_routes);
