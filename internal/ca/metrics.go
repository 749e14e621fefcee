package ca

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are named as Istio's, so that its dashboards and alerts work. Counters have no _total for the same reason.
type metrics struct {
	requests               prometheus.Counter
	issued                 prometheus.Counter
	requestFailures        prometheus.Counter
	signFailures           *prometheus.CounterVec
	authenticationFailures prometheus.Counter
	identityFailures       prometheus.Counter
}

const metricPrefix = "citadel_server_"

// newMetrics makes the metrics and registers them; a nil registry leaves them unregistered.
func newMetrics(registry prometheus.Registerer, current *Current, now func() time.Time) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: metricPrefix + name, Help: help})
	}
	m := &metrics{
		requests:        counter("csr_count", "Certificate requests received."),
		issued:          counter("success_cert_issuance_count", "Certificates signed."),
		requestFailures: counter("csr_parsing_err_count", "Certificate requests that could not be read or had a bad key or signature."),
		signFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricPrefix + "csr_sign_err_count", Help: "Certificate requests that could not be signed, by reason.",
		}, []string{"error"}),
		authenticationFailures: counter("authentication_failure_count", "Certificate requests of callers that could not be told."),
		identityFailures:       counter("id_extraction_err_count", "Certificate requests of callers without an identity."),
	}
	if registry == nil {
		return m
	}
	registry.MustRegister(m.requests, m.issued, m.requestFailures, m.signFailures, m.authenticationFailures, m.identityFailures)
	expiry := func(name, help string, notAfter func() time.Time) {
		registry.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: metricPrefix + name + "_expiry_timestamp", Help: help + " expires, in seconds since 1970.",
			}, func() float64 { return float64(notAfter().Unix()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: metricPrefix + name + "_expiry_seconds", Help: help + " expires, in seconds from now.",
			}, func() float64 { return notAfter().Sub(now()).Seconds() }),
		)
	}
	expiry("root_cert", "When the root certificate", func() time.Time { return current.Authority().RootNotAfter() })
	expiry("cert_chain", "When the first certificate of the signing chain", func() time.Time { return current.Authority().NotAfter() })
	return m
}
