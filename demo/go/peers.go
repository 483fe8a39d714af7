package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

const (
	callTimeout   = 5 * time.Second
	stormAttempts = 5
	stormPatience = 4 * time.Millisecond // under any charge's time: it is always given up
)

// peerError is an answer other than 2xx of a service behind this one, with that service's own words.
type peerError struct {
	peer    string
	status  int
	message string
}

func (e *peerError) Error() string {
	return fmt.Sprintf("%s answered %d: %s", e.peer, e.status, e.message)
}

type peers struct {
	catalogue, payments string
	http                *http.Client
}

type product struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Price int64  `json:"price"` // minor units of the currency asked for
}

type payment struct {
	ID string `json:"payment_id"`
}

// newPeers makes a client whose requests are CLIENT spans and carry the trace on.
func newPeers(catalogue, payments string) *peers {
	transport := otelhttp.NewTransport(http.DefaultTransport, otelhttp.WithSpanNameFormatter(spanName))
	return &peers{
		catalogue: strings.TrimSuffix(catalogue, "/"),
		payments:  strings.TrimSuffix(payments, "/"),
		http:      &http.Client{Transport: transport, Timeout: callTimeout},
	}
}

// templateKey holds the path of a request before its variables were filled in, for the span's name.
type templateKey struct{}

func spanName(_ string, r *http.Request) string {
	if template, ok := r.Context().Value(templateKey{}).(string); ok {
		return r.Method + " " + template
	}
	return r.Method
}

func (p *peers) product(ctx context.Context, id, currency string) (product, error) {
	var got product
	address := p.catalogue + "/products/" + url.PathEscape(id) + "?currency=" + url.QueryEscape(currency)
	err := p.call(ctx, "catalogue", http.MethodGet, address, "/products/{id}", nil, &got)
	return got, err
}

// charge asks payments for the money, once. Under the fault retry-storm each try but the last is given up before it
// can be answered, and sent again at once: payments does the work all the same.
func (p *peers) charge(ctx context.Context, orderID, currency string, amount int64, storm bool) (payment, error) {
	attempts := 1
	if storm {
		attempts = stormAttempts
	}
	body := map[string]any{"order_id": orderID, "currency": currency, "amount": amount}
	var got payment
	var err error
	for i := 1; i <= attempts; i++ {
		try, cancel := ctx, func() {}
		if i < attempts {
			try, cancel = context.WithTimeout(ctx, stormPatience)
		}
		err = p.call(try, "payments", http.MethodPost, p.payments+"/charge", "/charge", body, &got)
		cancel()
		if err == nil || try.Err() == nil { // answered, well or badly: not a time-out of ours
			trace.SpanFromContext(ctx).SetAttributes(attribute.Int("shop.charge.attempts", i))
			break
		}
		slog.WarnContext(ctx, "charge timed out, trying again at once", "order_id", orderID, "attempt", i, "error", err.Error())
	}
	return got, err
}

// call sends one request and decodes its answer into out.
func (p *peers) call(ctx context.Context, peer, method, address, template string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(context.WithValue(ctx, templateKey{}, template), method, address, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := p.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s cannot be reached: %w", peer, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, bodyMax))
	if err != nil {
		return fmt.Errorf("%s broke off its answer: %w", peer, err)
	}
	if res.StatusCode/100 != 2 {
		return &peerError{peer, res.StatusCode, messageOf(text)}
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s answered no JSON: %w", peer, err)
	}
	return nil
}

// messageOf takes the words out of {"error": "..."}; other answers are quoted in part.
func messageOf(text []byte) string {
	var said struct{ Error string }
	if json.Unmarshal(text, &said) == nil && said.Error != "" {
		return said.Error
	}
	return fmt.Sprintf("%.100q", text)
}
