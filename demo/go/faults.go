package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
)

// faults can be switched on to be found again in the telemetry. Only this host may: a demo's switch is no API.
type faults struct {
	errorShare atomic.Bool // a fifth of the checkouts carries a coupon that breaks them in a service further down
	retryStorm atomic.Bool // charges are given up after a few milliseconds and sent again, five times
}

func (f *faults) named(name string) *atomic.Bool {
	switch name {
	case "error-share":
		return &f.errorShare
	case "retry-storm":
		return &f.retryStorm
	}
	return nil
}

func (f *faults) state() map[string]bool {
	return map[string]bool{"error-share": f.errorShare.Load(), "retry-storm": f.retryStorm.Load()}
}

func (f *faults) list(w http.ResponseWriter, r *http.Request) {
	if !fromHere(w, r) {
		return
	}
	reply(w, http.StatusOK, f.state())
}

func (f *faults) set(w http.ResponseWriter, r *http.Request) {
	if !fromHere(w, r) {
		return
	}
	name := r.PathValue("name")
	fault := f.named(name)
	if fault == nil {
		refuse(w, http.StatusNotFound, fmt.Sprintf("orders has no fault %q", name))
		return
	}
	var to struct{ On *bool }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyMax)).Decode(&to); err != nil || to.On == nil {
		refuse(w, http.StatusBadRequest, `{"on":true} or {"on":false} is needed`)
		return
	}
	fault.Store(*to.On)
	slog.WarnContext(r.Context(), fmt.Sprintf("fault %s is %s", name, map[bool]string{true: "on", false: "off"}[*to.On]),
		"fault", name, "on", *to.On)
	reply(w, http.StatusOK, f.state())
}

func fromHere(w http.ResponseWriter, r *http.Request) bool {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return true
	}
	refuse(w, http.StatusForbidden, "faults are switched from this host only")
	return false
}
