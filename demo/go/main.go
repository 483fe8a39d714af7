// orders takes checkouts: it asks the catalogue for prices, charges through payments and stores the order. It is the
// middle of the shop's flow (storefront -> orders -> catalogue and payments).
//
//	GET  /               health
//	POST /checkout       {"currency":"EUR","items":[{"product_id":"anchor","quantity":1}]} -> the order
//	GET  /data           the last orders, by a simulated database query
//	GET  /error          fails: 500, an exception on the span, an ERROR log
//	GET  /fault          state of the faults (this host only)
//	POST /fault/{name}   {"on":true|false}: error-share, retry-storm (this host only)
//
// Environment: HOST, PORT, CATALOGUE_URL, PAYMENTS_URL, CORS_ORIGINS, OTEL_EXPORTER_OTLP_ENDPOINT and the SDK's other
// standard variables.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	stopTelemetry, err := startTelemetry(ctx)
	if err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	defer stopTelemetry() // the last spans and logs go out
	shop, err := newShop(env("CATALOGUE_URL", "http://127.0.0.1:8001"), env("PAYMENTS_URL", "http://127.0.0.1:8003"))
	if err != nil {
		return err
	}
	server := &http.Server{
		Addr:              net.JoinHostPort(env("HOST", "127.0.0.1"), env("PORT", "8002")),
		Handler:           cors(otelhttp.NewHandler(routes(shop), "orders")),
		ReadHeaderTimeout: 5 * time.Second,
	}
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(grace) // what is still open after the grace is cut
	}()
	slog.Info("orders listens on " + server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	slog.Info("orders stops")
	return nil
}

func routes(s *shop) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h http.HandlerFunc) {
		_, route, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			// otelhttp learns the route only after the handler: enough for its metrics, too late for its span.
			trace.SpanFromContext(r.Context()).SetAttributes(attribute.String("http.route", route))
			h(w, r)
		})
	}
	handle("GET /{$}", health)
	handle("POST /checkout", s.checkout)
	handle("GET /data", s.recent)
	handle("GET /error", s.fail)
	handle("GET /fault", s.faults.list)
	handle("POST /fault/{name}", s.faults.set)
	return mux
}

func health(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]string{"service": "orders", "status": "ok"})
}

func env(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}
