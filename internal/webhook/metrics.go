package webhook

import "github.com/prometheus/client_golang/prometheus"

// metrics carries Istio's names, which dashboards use.
type metrics struct {
	requests, succeeded, failed, skipped prometheus.Counter
	seconds                              prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := metrics{
		requests:  counter("sidecar_injection_requests_total", "Injection requests received."),
		succeeded: counter("sidecar_injection_success_total", "Pods that were injected."),
		failed:    counter("sidecar_injection_failure_total", "Injection requests that were refused or went wrong."),
		skipped:   counter("sidecar_injection_skip_total", "Pods that were left as they are."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sidecar_injection_time_seconds", Help: "Time to answer an injection request.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5},
		}),
	}
	if registerer != nil {
		registerer.MustRegister(m.requests, m.succeeded, m.failed, m.skipped, m.seconds)
	}
	return m
}
