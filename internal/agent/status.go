package agent

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strconv"
)

// statusHandler is the agent's HTTP server. Paths that change something or tell much answer to the pod itself only.
func (a *agent) statusHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz/ready", a.ready)
	metrics := newScraper(a.metrics, a.o.PrometheusPort, a.env["ISTIO_PROMETHEUS_ANNOTATIONS"], a.o.Log)
	mux.Handle("GET /stats/prometheus", metrics)
	mux.Handle("GET /metrics", metrics)
	probes, err := newProber(a.env["ISTIO_KUBE_APP_PROBERS"], a.facts.IPs)
	if err != nil {
		// The pod runs, but the kubelet's probes fail and say why.
		a.o.Log.Error("probes of the application cannot be served", "err", err)
	}
	mux.Handle("GET /app-health/", probes)
	mux.Handle("GET /app-lifecycle/", probes)
	mux.HandleFunc("POST /drain", localOnly(a.serveDrain))
	mux.HandleFunc("POST /quitquitquit", localOnly(a.serveQuit))
	mux.HandleFunc("GET /debug/ndsz", localOnly(a.serveNames))
	return mux
}

// localOnly answers to clients of this pod.
func localOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !from.Addr().Unmap().IsLoopback() {
			http.Error(w, "only for clients on localhost", http.StatusForbidden)
			return
		}
		next(w, r)
	}
}

func (a *agent) serveNames(w http.ResponseWriter, _ *http.Request) {
	names := map[string][]string{}
	if a.dns != nil {
		names = a.dns.Names()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(names) // a client that left misses it
}

func portOf(address string) uint32 {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0
	}
	return uint32(n)
}

func ipVersion(ips []string) string {
	if len(ips) > 0 {
		if ip, err := netip.ParseAddr(ips[0]); err == nil && ip.Is6() {
			return "v6"
		}
	}
	return "v4"
}
