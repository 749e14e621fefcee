package xds

import (
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// Traffic counts what the server did for one type since it started.
type Traffic struct {
	SetsBuilt      uint64 // calls of Generator.Build
	ResourcesBuilt uint64 // resources in those sets that the set before did not share
	Pushes         uint64 // responses sent
	Resources      uint64 // in those responses, resources that are gone not counted
	Bytes          uint64 // of those responses, before any compression
	Rejects        uint64 // responses that proxies refused
}

// Stats are counters by the short name of a type: cds, eds, lds, rds, nds, …
type Stats struct {
	Streams int // open now
	Types   map[string]Traffic
}

// Stats gives the counters as they stand.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	streams := len(s.conns)
	s.mu.Unlock()
	s.metrics.mu.Lock()
	defer s.metrics.mu.Unlock()
	return Stats{Streams: streams, Types: maps.Clone(s.metrics.traffic)}
}

// metrics has the names that Istio's dashboards use, and ours for what was built.
type metrics struct {
	proxies        *prometheus.GaugeVec
	pushes         *prometheus.CounterVec
	rejects        *prometheus.CounterVec
	rejected       map[string]*prometheus.GaugeVec // by short type; only types that have such a metric
	expired        *prometheus.CounterVec
	internalErrors prometheus.Counter
	convergence    prometheus.Histogram
	pushTime       *prometheus.HistogramVec
	size           *prometheus.HistogramVec
	bytes          *prometheus.CounterVec
	setsBuilt      *prometheus.CounterVec
	resourcesBuilt *prometheus.CounterVec

	mu       sync.Mutex // guards what follows
	traffic  map[string]Traffic
	versions map[string]int
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"type"})
	}
	seconds := []float64{.01, .1, 1, 3, 5, 10, 20, 30}
	m := &metrics{
		proxies: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pilot_xds", Help: "Proxies connected to this control plane.",
		}, []string{"version"}),
		pushes:   counter("pilot_xds_pushes", "Responses sent, and with _senderr those that could not be sent."),
		rejects:  counter("pilot_total_xds_rejects", "Responses that proxies refused."),
		rejected: map[string]*prometheus.GaugeVec{},
		expired:  counter("pilot_xds_expired_nonce", "Answers of proxies to a response that a newer one had overtaken."),
		internalErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pilot_total_xds_internal_errors", Help: "Streams that ended by an error of the control plane.",
		}),
		convergence: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pilot_proxy_convergence_time", Help: "Seconds from a change to a proxy having been sent it.",
			Buckets: []float64{.001, .003, .01, .03, .1, .5, 1, 3, 5, 10, 20, 30},
		}),
		pushTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pilot_xds_push_time", Help: "Seconds it took to make a response.", Buckets: seconds,
		}, []string{"type"}),
		size: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pilot_xds_config_size_bytes", Help: "Size of the responses sent.",
			Buckets: []float64{1, 10_000, 1_000_000, 4_000_000, 10_000_000, 40_000_000},
		}, []string{"type"}),
		bytes:          counter("isthmus_xds_sent_bytes_total", "Bytes of the responses sent."),
		setsBuilt:      counter("isthmus_sets_built_total", "Resource sets of classes that were built."),
		resourcesBuilt: counter("isthmus_resources_built_total", "Resources that were built anew, not shared with the set before."),
		traffic:        map[string]Traffic{},
		versions:       map[string]int{},
	}
	for _, t := range []string{"cds", "eds", "lds", "rds"} {
		m.rejected[t] = prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pilot_xds_" + t + "_reject", Help: "Refusals of " + strings.ToUpper(t) + " by connected proxies.",
		}, []string{"node", "err"})
	}
	if r != nil {
		m.register(r)
	}
	return m
}

func (m *metrics) register(r prometheus.Registerer) {
	r.MustRegister(m.proxies, m.pushes, m.rejects, m.expired, m.internalErrors, m.convergence, m.pushTime, m.size,
		m.bytes, m.setsBuilt, m.resourcesBuilt)
	for _, g := range m.rejected {
		r.MustRegister(g)
	}
}

func (m *metrics) count(typ string, change func(*Traffic)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.traffic[typ]
	change(&t)
	m.traffic[typ] = t
}

func (m *metrics) built(typeURL string, resources int) {
	typ := short(typeURL)
	m.setsBuilt.WithLabelValues(typ).Inc()
	m.resourcesBuilt.WithLabelValues(typ).Add(float64(resources))
	m.count(typ, func(t *Traffic) { t.SetsBuilt++; t.ResourcesBuilt += uint64(resources) })
}

func (m *metrics) sent(typeURL string, bytes, resources int) {
	typ := short(typeURL)
	m.pushes.WithLabelValues(typ).Inc()
	m.bytes.WithLabelValues(typ).Add(float64(bytes))
	m.size.WithLabelValues(typ).Observe(float64(bytes))
	m.count(typ, func(t *Traffic) {
		t.Pushes++
		t.Bytes += uint64(bytes)
		t.Resources += uint64(resources)
	})
}

func (m *metrics) failed(typeURL string) { m.pushes.WithLabelValues(short(typeURL) + "_senderr").Inc() }

func (m *metrics) reject(typeURL, node string, code codes.Code) {
	typ := short(typeURL)
	m.rejects.WithLabelValues(typ).Inc()
	if g := m.rejected[typ]; g != nil {
		g.WithLabelValues(node, code.String()).Inc()
	}
	m.count(typ, func(t *Traffic) { t.Rejects++ })
}

// forget drops what is kept of one proxy by its name.
func (m *metrics) forget(node string) {
	for _, g := range m.rejected {
		g.DeletePartialMatch(prometheus.Labels{"node": node})
	}
}

func (m *metrics) connected(version string, by int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.versions[version] += by
	if m.versions[version] == 0 {
		delete(m.versions, version)
		m.proxies.DeleteLabelValues(version)
		return
	}
	m.proxies.WithLabelValues(version).Set(float64(m.versions[version]))
}

// converged notes that a stream has been sent what a publication changed.
func (m *metrics) converged(published time.Time) {
	m.convergence.Observe(time.Since(published).Seconds())
}
