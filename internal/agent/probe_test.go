package agent

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// probeAll serves probes as the injector would write them, against an application on loopback.
func probeAll(t *testing.T, format string, args ...any) *httptest.Server {
	t.Helper()
	p, err := newProber(fmt.Sprintf(format, args...), []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	return s
}

func statusOf(t *testing.T, url string) int {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func listenerPort(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func TestHTTPProbes(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/headers" && r.Host == "app.example" && r.Header.Get("X-A") == "b" && r.UserAgent() == "Go-http-client/1.1":
		case r.URL.Path == "/query" && r.URL.RawQuery == "a=b":
		case r.URL.Path == "/away":
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
		case r.URL.Path == "/near":
			http.Redirect(w, r, "/query?a=b", http.StatusFound)
		case r.URL.Path == "/circle":
			http.Redirect(w, r, "/circle", http.StatusFound)
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	s := probeAll(t, `{
		"/app-health/c/livez": {"httpGet": {"path": "/headers", "port": %[1]d, "httpHeaders": [{"name": "Host", "value": "app.example"}, {"name": "X-A", "value": "b"}]}},
		"/app-health/c/readyz": {"httpGet": {"path": "query?a=b", "port": "%[1]d", "scheme": "HTTP"}},
		"/app-health/c/startupz": {"httpGet": {"path": "/no", "port": %[1]d}},
		"/app-health/s/livez": {"httpGet": {"path": "/query?a=b", "port": %[2]d, "scheme": "HTTPS"}},
		"/app-health/away/livez": {"httpGet": {"path": "/away", "port": %[1]d}},
		"/app-health/near/livez": {"httpGet": {"path": "/near", "port": %[1]d}},
		"/app-health/circle/livez": {"httpGet": {"path": "/circle", "port": %[1]d}},
		"/app-lifecycle/c/prestopz": {"httpGet": {"path": "/query?a=b", "port": %[1]d}},
		"/app-health/nothing/livez": {}
	}`, listenerPort(plain.Listener), listenerPort(secure.Listener))
	cases := map[string]int{
		"/app-health/c/livez": 200, "/app-health/c/readyz": 200, "/app-health/c/startupz": 418, "/app-health/s/livez": 200,
		"/app-health/near/livez": 200, "/app-health/circle/livez": 500, "/app-lifecycle/c/prestopz": 200,
		"/app-health/unknown/livez": 404, "/app-health/nothing/livez": 500,
	}
	for path, want := range cases {
		if got := statusOf(t, s.URL+path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	// Not followed, as the kubelet would not: the redirect itself is the answer.
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Get(s.URL + "/app-health/away/livez")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusFound {
		t.Errorf("redirect to another host: %d, want 302", res.StatusCode)
	}
}

func TestTCPAndGRPCProbes(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, checks := grpc.NewServer(), health.NewServer()
	checks.SetServingStatus("down", healthv1.HealthCheckResponse_NOT_SERVING)
	healthv1.RegisterHealthServer(server, checks)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	s := probeAll(t, `{
		"/app-health/tcp/livez": {"tcpSocket": {"port": %[1]d}},
		"/app-health/grpc/livez": {"grpc": {"port": %[1]d, "service": null}},
		"/app-health/down/livez": {"grpc": {"port": %[1]d, "service": "down"}},
		"/app-health/closed/livez": {"tcpSocket": {"port": %[2]d}}
	}`, listenerPort(l), freePorts(t, 1)[0])
	for path, want := range map[string]int{
		"/app-health/tcp/livez": 200, "/app-health/grpc/livez": 200, "/app-health/down/livez": 500, "/app-health/closed/livez": 500,
	} {
		if got := statusOf(t, s.URL+path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

func TestProbesThatCannotBeReadAreReported(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"{", `{"/app-health/c/livez": {"tcpSocket": {"port": "http"}}}`} {
		if _, err := newProber(text, nil); err == nil || !strings.Contains(err.Error(), "ISTIO_KUBE_APP_PROBERS") {
			t.Errorf("%s: error %v", text, err)
		}
	}
}
