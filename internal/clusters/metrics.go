package clusters

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are computed from Status when they are read, so that they never say something else than it.
type metrics struct {
	set          *Set
	secretEvents *prometheus.CounterVec
	managed      *prometheus.Desc
	status       *prometheus.Desc
}

func newMetrics(s *Set) *metrics {
	m := &metrics{
		set: s,
		secretEvents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "remote_cluster_secret_events_total",
			Help: "Number of remote Secrets that were added, updated or deleted.",
		}, []string{"event"}),
		managed: prometheus.NewDesc("istiod_managed_clusters", "Number of clusters that the control plane watches.",
			[]string{"cluster_type"}, nil),
		status: prometheus.NewDesc("istiod_remote_cluster_sync_status",
			"State of each remote cluster: 1 for the one that it is in (syncing, synced, stale, refused), 0 for the others.",
			[]string{"cluster", "cluster_type", "status"}, nil),
	}
	for _, event := range []string{"add", "update", "delete"} {
		m.secretEvents.WithLabelValues(event)
	}
	if s.options.Metrics != nil {
		s.options.Metrics.MustRegister(m, m.secretEvents)
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	out <- m.managed
	out <- m.status
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	own, remote := 0, 0
	seen := make(map[string]bool)
	for _, st := range m.set.Status() {
		name := string(st.Cluster)
		switch {
		case st.Own:
			own++
			continue
		case name == "" || seen[name]: // entries of Secrets that are no cluster
			continue
		}
		seen[name] = true
		remote++
		for state := Connecting; state <= Refused; state++ {
			value := 0.0
			if state == st.State {
				value = 1
			}
			out <- prometheus.MustNewConstMetric(m.status, prometheus.GaugeValue, value, name, "remote", state.String())
		}
	}
	out <- prometheus.MustNewConstMetric(m.managed, prometheus.GaugeValue, float64(own), "local")
	out <- prometheus.MustNewConstMetric(m.managed, prometheus.GaugeValue, float64(remote), "remote")
}
