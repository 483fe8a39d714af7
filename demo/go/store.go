package main

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

const ordersKept = 100

var (
	// The bounds that the conventions advise for durations, in seconds.
	secondsBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	tracer        = otel.Tracer("orders")
)

// store is the orders' database, simulated: each statement is a CLIENT span with db.* attributes, a measurement, and a
// sleep where a real driver would wait. It keeps the last orders only.
type store struct {
	duration metric.Float64Histogram

	mu   sync.Mutex
	last []order // oldest first, at most ordersKept
}

func newStore() (*store, error) {
	duration, err := otel.Meter("orders").Float64Histogram("db.client.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of database client operations."),
		metric.WithExplicitBucketBoundaries(secondsBounds...))
	return &store{duration: duration}, err
}

func (s *store) insert(ctx context.Context, o order) {
	s.statement(ctx, "INSERT", "INSERT INTO orders (id, currency, total, payment_id) VALUES ($1, $2, $3, $4)", 0.004)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.last) == ordersKept {
		s.last = append(s.last[:0], s.last[1:]...)
	}
	s.last = append(s.last, o)
}

// recent returns the newest orders, newest first, at most n.
func (s *store) recent(ctx context.Context, n int) []order {
	s.statement(ctx, "SELECT", "SELECT id, currency, total FROM orders ORDER BY created DESC LIMIT $1", 0.007)
	s.mu.Lock()
	defer s.mu.Unlock()
	found := []order{}
	for i := len(s.last) - 1; i >= 0 && len(found) < n; i-- {
		found = append(found, s.last[i])
	}
	return found
}

func (s *store) statement(ctx context.Context, operation, text string, median float64) {
	ctx, span := tracer.Start(ctx, operation+" orders", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("db.system.name", "postgresql"),
		attribute.String("db.namespace", "orders"),
		attribute.String("db.collection.name", "orders"),
		attribute.String("db.operation.name", operation),
		attribute.String("db.query.text", text),
		attribute.String("server.address", "orders-db"),
		attribute.Int("server.port", 5432),
	))
	defer span.End()
	started := time.Now()
	took := median * min(8, max(0.35, math.Exp(0.7*rand.NormFloat64())))
	time.Sleep(time.Duration(took * float64(time.Second)))
	s.duration.Record(ctx, time.Since(started).Seconds(), metric.WithAttributes(
		attribute.String("db.system.name", "postgresql"),
		attribute.String("db.operation.name", operation),
		attribute.String("db.collection.name", "orders"),
	))
}
