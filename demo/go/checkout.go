package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
)

const (
	itemsMax       = 10
	quantityMax    = 99
	errorShare     = 0.2
	brokenCurrency = "XXX"
)

// The currencies of the shop, with the worth of a minor unit in euro cents: only for the metric of orders' value.
var currencies = map[string]float64{"EUR": 1, "USD": 0.92, "GBP": 1.17, "JPY": 0.61}

type item struct {
	ProductID string `json:"product_id"`
	Quantity  int64  `json:"quantity"`
}

type cart struct {
	Currency string `json:"currency"`
	Items    []item `json:"items"`
}

type order struct {
	ID        string `json:"order_id"`
	Currency  string `json:"currency"`
	Total     int64  `json:"total"` // minor units
	PaymentID string `json:"payment_id"`
	Items     []item `json:"items"`
}

type shop struct {
	peers  *peers
	store  *store
	faults faults
	placed metric.Int64Counter
	value  metric.Float64Histogram
}

func newShop(catalogue, payments string) (*shop, error) {
	meter := otel.Meter("orders")
	placed, err := meter.Int64Counter("shop.orders.placed", metric.WithUnit("{order}"),
		metric.WithDescription("Orders that were charged and stored."))
	if err != nil {
		return nil, err
	}
	value, err := meter.Float64Histogram("shop.order.value", metric.WithUnit("{EUR}"),
		metric.WithDescription("Value of placed orders, in euro."),
		metric.WithExplicitBucketBoundaries(10, 25, 50, 100, 250, 500, 1000, 2500, 5000))
	if err != nil {
		return nil, err
	}
	orders, err := newStore()
	return &shop{peers: newPeers(catalogue, payments), store: orders, placed: placed, value: value}, err
}

func (s *shop) checkout(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	c, err := readCart(http.MaxBytesReader(w, r.Body, bodyMax))
	if err != nil {
		slog.WarnContext(ctx, "checkout refused", "reason", err.Error())
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	o, err := s.place(ctx, c)
	if err != nil {
		s.answerFailure(w, ctx, err)
		return
	}
	labels := metric.WithAttributes(attribute.String("currency", o.Currency))
	s.placed.Add(ctx, 1, labels)
	s.value.Record(ctx, float64(o.Total)*currencies[o.Currency]/100, labels)
	slog.InfoContext(ctx, "order placed", "order_id", o.ID, "currency", o.Currency, "total", o.Total, "items", len(o.Items))
	reply(w, http.StatusOK, o)
}

// readCart decodes and checks a cart. Its errors are for the customer.
func readCart(body io.Reader) (cart, error) {
	var c cart
	if err := json.NewDecoder(body).Decode(&c); err != nil {
		return c, errors.New(`a JSON body like {"currency":"EUR","items":[{"product_id":"anchor","quantity":1}]} is needed`)
	}
	if c.Currency == "" {
		c.Currency = "EUR"
	}
	if _, ok := currencies[c.Currency]; !ok {
		return c, fmt.Errorf("no sale in %.8q; use EUR, USD, GBP or JPY", c.Currency)
	}
	if len(c.Items) == 0 || len(c.Items) > itemsMax {
		return c, fmt.Errorf("1 to %d items are needed", itemsMax)
	}
	for _, i := range c.Items {
		if i.ProductID == "" || i.Quantity < 1 || i.Quantity > quantityMax {
			return c, fmt.Errorf("each item needs a product_id and a quantity of 1 to %d", quantityMax)
		}
	}
	return c, nil
}

// place prices the cart, charges it and stores the order.
func (s *shop) place(ctx context.Context, c cart) (order, error) {
	o := order{ID: "ord_" + strconv.FormatUint(rand.Uint64(), 36), Currency: c.Currency, Items: c.Items}
	span := trace.SpanFromContext(ctx)
	span.SetAttributes(attribute.String("shop.order.id", o.ID), attribute.String("shop.order.currency", o.Currency),
		attribute.Int("shop.order.items", len(o.Items)))
	currency, discounts := c.Currency, int64(0)
	if s.faults.errorShare.Load() && rand.Float64() < errorShare {
		// The bug to find: a coupon that loses the currency, or takes the cart's worth off twice.
		span.SetAttributes(attribute.String("shop.coupon", "SUMMER50"))
		if rand.IntN(2) == 0 {
			currency = brokenCurrency
		} else {
			discounts = 2
		}
	}
	var err error
	if o.Total, err = s.price(ctx, o.Items, currency); err != nil {
		return o, fmt.Errorf("checkout %s: price: %w", o.ID, err)
	}
	o.Total -= discounts * o.Total
	paid, err := s.peers.charge(ctx, o.ID, o.Currency, o.Total, s.faults.retryStorm.Load())
	if err != nil {
		return o, fmt.Errorf("checkout %s: charge: %w", o.ID, err)
	}
	o.PaymentID = paid.ID
	span.SetAttributes(attribute.Int64("shop.order.total", o.Total))
	s.store.insert(ctx, o)
	return o, nil
}

// price asks for all products at once and adds up. The first failure ends the other calls.
func (s *shop) price(ctx context.Context, items []item, currency string) (int64, error) {
	ctx, span := tracer.Start(ctx, "price cart")
	defer span.End()
	prices := make([]int64, len(items))
	group, ctx := errgroup.WithContext(ctx)
	for i, wanted := range items {
		group.Go(func() error {
			p, err := s.peers.product(ctx, wanted.ProductID, currency)
			prices[i] = p.Price * wanted.Quantity
			return err
		})
	}
	err := group.Wait()
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	var total int64
	for _, p := range prices {
		total += p
	}
	return total, err
}

// answerFailure tells the customer what went wrong. What a customer caused (no such product, a declined card) is a
// warning; the rest is an error, with its chain of causes on the span and in the log.
func (s *shop) answerFailure(w http.ResponseWriter, ctx context.Context, err error) {
	var peer *peerError
	if errors.As(err, &peer) && peer.status < 500 {
		slog.WarnContext(ctx, "checkout refused", "reason", err.Error())
		refuse(w, peer.status, peer.message)
		return
	}
	report(ctx, err)
	refuse(w, http.StatusBadGateway, err.Error())
}

// report records an error on the current span, with the stack, and logs it.
func report(ctx context.Context, err error) {
	span := trace.SpanFromContext(ctx)
	span.RecordError(err, trace.WithStackTrace(true))
	span.SetStatus(codes.Error, err.Error())
	slog.ErrorContext(ctx, err.Error(), "exception.type", kind(err), "exception.message", err.Error())
}

// kind is the type of the first error of a chain that is more than words around the next one.
func kind(err error) string {
	for {
		name := fmt.Sprintf("%T", err)
		next := errors.Unwrap(err)
		if name != "*fmt.wrapError" || next == nil {
			return name
		}
		err = next
	}
}

func (s *shop) recent(w http.ResponseWriter, r *http.Request) {
	found := s.store.recent(r.Context(), 10)
	slog.InfoContext(r.Context(), "orders listed", "rows", len(found))
	reply(w, http.StatusOK, map[string]any{"orders": found})
}

// fail fails on purpose: a number that is none, with the parser's error as the cause.
func (s *shop) fail(w http.ResponseWriter, r *http.Request) {
	_, err := strconv.Atoi("2,5")
	err = fmt.Errorf("the shipping table cannot be read: %w", err)
	report(r.Context(), err)
	refuse(w, http.StatusInternalServerError, err.Error())
}
