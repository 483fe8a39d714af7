package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

var (
	cpuUser   = metric.WithAttributes(attribute.String("cpu.mode", "user"))
	cpuSystem = metric.WithAttributes(attribute.String("cpu.mode", "system"))
)

// observeProcess measures this process' memory and CPU time, when metrics are collected. (The SDK's runtime package
// tells of Go's heap and goroutines, not of the process.)
func observeProcess() error {
	meter := otel.Meter("orders")
	_, memErr := meter.Int64ObservableUpDownCounter("process.memory.usage",
		metric.WithUnit("By"), metric.WithDescription("The amount of physical memory in use."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			bytes, err := residentBytes()
			if err == nil {
				o.Observe(bytes)
			}
			return err
		}))
	if memErr != nil {
		return memErr
	}
	_, cpuErr := meter.Float64ObservableCounter("process.cpu.time",
		metric.WithUnit("s"), metric.WithDescription("Total CPU seconds broken down by different states."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			var used syscall.Rusage
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
				return err
			}
			o.Observe(seconds(used.Utime), cpuUser)
			o.Observe(seconds(used.Stime), cpuSystem)
			return nil
		}))
	return cpuErr
}

func residentBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm") // total, resident, ... in pages
	if err != nil {
		return 0, err
	}
	words := bytes.Fields(text)
	if len(words) < 2 {
		return 0, fmt.Errorf("/proc/self/statm: %q", text)
	}
	pages, err := strconv.ParseInt(string(words[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
