package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/google/uuid"
)

const (
	serviceVersion = "1.0.0"
	batchDelay     = time.Second // short: a demo is watched live
	metricInterval = 5 * time.Second
	flushMax       = 5 * time.Second
)

// startTelemetry sets OpenTelemetry's global providers of the three signals, with one resource, and slog's default
// logger. The function returned sends what is left and stops them.
func startTelemetry(ctx context.Context) (func(), error) {
	res, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "orders"),
		attribute.String("service.version", serviceVersion),
		attribute.String("service.instance.id", uuid.NewString()),
		attribute.String("deployment.environment.name", "demo"),
	), resource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	spans, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, err
	}
	points, err := otlpmetrichttp.New(ctx)
	if err != nil {
		return nil, err
	}
	records, err := otlploghttp.New(ctx)
	if err != nil {
		return nil, err
	}
	traces := sdktrace.NewTracerProvider(sdktrace.WithResource(res),
		sdktrace.WithBatcher(spans, sdktrace.WithBatchTimeout(batchDelay)))
	metrics := sdkmetric.NewMeterProvider(sdkmetric.WithResource(res),
		sdkmetric.WithExemplarFilter(exemplar.TraceBasedFilter),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(points, sdkmetric.WithInterval(metricInterval))))
	logs := sdklog.NewLoggerProvider(sdklog.WithResource(res),
		sdklog.WithProcessor(sdklog.NewBatchProcessor(records, sdklog.WithExportInterval(batchDelay))))
	otel.SetTracerProvider(traces)
	otel.SetMeterProvider(metrics)
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	stdout := withIDs{slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: sameNames})}
	bridge := otelslog.NewHandler("orders", otelslog.WithLoggerProvider(logs))
	slog.SetDefault(slog.New(slog.NewMultiHandler(bridge, stdout)))
	// To stdout only: what fails to be exported must not be exported.
	local := slog.New(stdout)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { local.Warn("telemetry", "error", err.Error()) }))
	stop := func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushMax)
		defer cancel()
		_ = errors.Join(traces.Shutdown(ctx), logs.Shutdown(ctx), metrics.Shutdown(ctx)) // a backend that is gone is no error of ours
	}
	return stop, errors.Join(runtime.Start(), observeProcess())
}

// withIDs adds the current span's ids to the lines on stdout. The OTLP bridge needs no help: the SDK reads them from
// the context.
type withIDs struct{ slog.Handler }

func (h withIDs) Handle(ctx context.Context, r slog.Record) error {
	if s := trace.SpanContextFromContext(ctx); s.IsValid() {
		r.AddAttrs(slog.String("trace_id", s.TraceID().String()), slog.String("span_id", s.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h withIDs) WithAttrs(a []slog.Attr) slog.Handler { return withIDs{h.Handler.WithAttrs(a)} }
func (h withIDs) WithGroup(name string) slog.Handler   { return withIDs{h.Handler.WithGroup(name)} }

// sameNames calls the message as the other services' lines call it.
func sameNames(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.MessageKey {
		a.Key = "message"
	}
	return a
}
