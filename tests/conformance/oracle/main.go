// A live Prometheus to compare with: its PromQL engine and its own HTTP API over its own storage, with every feature flag on that
// Tercet has on. Each X-Scope-OrgID is an empty database of its own; the last few are kept. Remote write 2.0 comes in through
// /api/v1/write, start timestamps included. Usage: oracle DIR, which prints its port.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/regexp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/route"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/notifications"
	v1 "github.com/prometheus/prometheus/web/api/v1"
)

const kept = 3

type tenant struct {
	name  string
	db    *tsdb.DB
	dir   string
	api   http.Handler
	eager http.Handler // the same, where names are dropped at once: what Prometheus does by default
}

// What Prometheus' own server puts around its storage for its API.
type admin struct{ *tsdb.DB }

func (a admin) Stats(label string, limit int) (*tsdb.Stats, error) {
	return a.Head().Stats(label, limit), nil
}
func (a admin) WALReplayStatus() (tsdb.WALReplayStatus, error) { return tsdb.WALReplayStatus{}, nil }
func (a admin) BlockMetas() ([]tsdb.BlockMeta, error)          { return a.DB.BlockMetas(), nil }

type exemplars struct{ db *tsdb.DB }

func (e exemplars) ExemplarQuerier(ctx context.Context) (storage.ExemplarQuerier, error) {
	return e.db.ExemplarQuerier(ctx)
}

type server struct {
	mu      sync.Mutex
	dir     string
	made    int
	tenants []*tenant
	engines [2]*promql.Engine
	parser  parser.Parser
}

func main() {
	p := parser.NewParser(parser.Options{EnableExperimentalFunctions: true, ExperimentalDurationExpr: true, EnableExtendedRangeSelectors: true,
		EnableBinopFillModifiers: true})
	s := &server{dir: os.Args[1], parser: p}
	for i := range s.engines {
		s.engines[i] = promql.NewEngine(promql.EngineOpts{
			MaxSamples: 50000000, Timeout: 2 * time.Minute, LookbackDelta: 5 * time.Minute,
			NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
			EnableAtModifier:         true, EnableNegativeOffset: true, EnableDelayedNameRemoval: i == 0, UseStartTimestamps: true, Parser: p})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	// Its end is that of whoever started it.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	check(http.Serve(listener, s))
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := s.of(r.Header.Get("X-Scope-OrgID"))
	if r.URL.Path == "/api/v1/write" {
		t.write(w, r)
		return
	}
	if r.Header.Get("X-Eager-Names") != "" {
		t.eager.ServeHTTP(w, r)
		return
	}
	t.api.ServeHTTP(w, r)
}

func (s *server) of(name string) *tenant {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tenants {
		if t.name == name {
			return t
		}
	}
	if len(s.tenants) == kept {
		check(s.tenants[0].db.Close())
		check(os.RemoveAll(s.tenants[0].dir))
		s.tenants = s.tenants[1:]
	}
	s.made++
	t := &tenant{name: name, dir: filepath.Join(s.dir, fmt.Sprint(s.made))}
	o := tsdb.DefaultOptions()
	day := (24 * time.Hour).Milliseconds()
	o.MinBlockDuration, o.MaxBlockDuration, o.RetentionDuration, o.WALSegmentSize = day, day, 0, -1
	o.OutOfOrderTimeWindow = 365 * day
	o.EnableExemplarStorage, o.MaxExemplars = true, 10000
	o.EnableSTStorage, o.XOR2EncodingAllowed, o.FloatChunkEncoding, o.EnableHistogramSTEncoding = true, true, chunkenc.EncXOR2, true
	var err error
	t.db, err = tsdb.Open(t.dir, nil, nil, o, nil)
	check(err)
	t.api, t.eager = http.StripPrefix("/api/v1", s.handler(t, s.engines[0])), http.StripPrefix("/api/v1", s.handler(t, s.engines[1]))
	s.tenants = append(s.tenants, t)
	return t
}

func (s *server) handler(t *tenant, engine *promql.Engine) http.Handler {
	router := route.New()
	v1.NewAPI(engine, t.db, nil, nil, exemplars{t.db},
		func(context.Context) v1.ScrapePoolsRetriever { return nil }, func(context.Context) v1.TargetRetriever { return nil },
		func(context.Context) v1.AlertmanagerRetriever { return nil }, func() config.Config { return config.DefaultConfig }, nil,
		v1.GlobalURLOptions{}, func(f http.HandlerFunc) http.HandlerFunc { return f }, admin{t.db}, t.dir, true, false, 0, promslog.NewNopLogger(),
		func(context.Context) v1.RulesRetriever { return nil }, 5e7, 10, 1<<20, false, regexp.MustCompile("^$"),
		func() (v1.RuntimeInfo, error) { return v1.RuntimeInfo{}, nil }, &v1.PrometheusVersion{},
		func() []notifications.Notification { return nil },
		func() (<-chan notifications.Notification, func(), bool) { return nil, nil, false },
		prometheus.NewRegistry(), nil, nil, false, nil, false, false, false, false, 5*time.Minute, false, false, nil, nil, v1.OpenAPIOptions{},
		s.parser).Register(router)
	return router
}

// write stores a body of remote write 2.0; Prometheus' own handler leaves start timestamps out.
func (t *tenant) write(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	check(err)
	body, err = snappy.Decode(nil, body)
	check(err)
	var request writev2.Request
	check(request.Unmarshal(body))
	b := labels.NewScratchBuilder(0)
	app := t.db.AppenderV2(r.Context())
	for _, one := range request.Timeseries {
		ls, err := one.ToLabels(&b, request.Symbols)
		if err == nil && !ls.IsValid(model.UTF8Validation) {
			err = fmt.Errorf("invalid labels %v", ls)
		}
		for _, x := range one.Samples {
			if err == nil {
				_, err = app.Append(0, ls, x.StartTimestamp, x.Timestamp, x.Value, nil, nil, storage.AppendV2Options{})
			}
		}
		for _, x := range one.Histograms {
			if err != nil {
				break
			}
			if x.IsFloatHistogram() {
				_, err = app.Append(0, ls, x.StartTimestamp, x.Timestamp, math.NaN(), nil, x.ToFloatHistogram(), storage.AppendV2Options{})
			} else {
				_, err = app.Append(0, ls, x.StartTimestamp, x.Timestamp, math.NaN(), x.ToIntHistogram(), nil, storage.AppendV2Options{})
			}
		}
		if err != nil {
			_ = app.Rollback()
			slog.Error("refused", "series", ls, "err", err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	check(app.Commit())
	w.WriteHeader(http.StatusNoContent)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
