package agent

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

func TestPodBecomesReady(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host, _, _ := net.SplitHostPort(r.RemoteAddr); r.URL.Path == "/alive" && host != "127.0.0.6" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, "app_metric 1")
	}))
	t.Cleanup(app.Close)
	_, appPort, err := net.SplitHostPort(app.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := startPod(t,
		fmt.Sprintf(`ISTIO_PROMETHEUS_ANNOTATIONS={"scrape":"true","path":"/metrics","port":"%s"}`, appPort),
		fmt.Sprintf(`ISTIO_KUBE_APP_PROBERS={"/app-health/app/livez":{"httpGet":{"path":"/alive","port":%s},"timeoutSeconds":5}}`, appPort))
	p.awaitReady(t)

	if got := p.plane.seen(); len(got) == 0 || got[0] != "sidecar~127.0.0.1~curl-1.sample~sample.svc.cluster.local" {
		t.Errorf("the control plane saw %v", got)
	}
	checkIdentity(t, p)
	reply, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion("helloworld.", dns.TypeA), p.dns)
	if err != nil || len(reply.Answer) != 1 {
		t.Errorf("DNS answers %v, error %v", reply, err)
	}
	names, err := p.get(p.o.StatusAddress, "/debug/ndsz")
	if err != nil || !strings.Contains(names, `"helloworld":["10.1.0.1"]`) {
		t.Errorf("names %s, error %v", names, err)
	}
	metrics, err := p.get(p.o.StatusAddress, "/stats/prometheus")
	if err != nil {
		t.Error(err)
	}
	for _, want := range []string{"\nistio_agent_xds_proxy_requests ", "\nenvoy_cluster_upstream_cx_active{cluster_name=\"xds-grpc\"} 1", "\napp_metric 1\n", "\nistio_agent_cert_expiry_seconds 3"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if _, err := p.get(p.o.StatusAddress, "/app-health/app/livez"); err != nil {
		t.Error(err)
	}

	p.stop()
	if err := <-p.finished; err != nil {
		t.Errorf("asked to end, the agent ended with %v", err)
	}
	p.finished <- nil
	if logs := p.logs.String(); !strings.Contains(logs, "draining") || strings.Contains(logs, "does not drain") {
		t.Error("it did not drain")
	}
}

// checkIdentity sees the certificate that the agent got and Envoy serves.
func checkIdentity(t *testing.T, p *pod) {
	t.Helper()
	//nolint:gosec // the name in the certificate is a SPIFFE ID, compared below
	conn, err := tls.Dial("tcp", loopbackPort(p.tlsPort), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	leaf := conn.ConnectionState().PeerCertificates[0]
	if err := leaf.CheckSignatureFrom(p.plane.root); err != nil {
		t.Error(err)
	}
	if got := leaf.URIs[0].String(); got != "spiffe://cluster.local/ns/sample/sa/curl" {
		t.Errorf("Envoy is %s", got)
	}
}

func TestDrainAndQuitByRequest(t *testing.T) {
	t.Parallel()
	p := startPod(t)
	p.awaitReady(t)
	if _, err := p.do(http.MethodPost, p.o.StatusAddress, "/drain"); err != nil {
		t.Fatal(err)
	}
	if body, err := p.get(p.o.StatusAddress, "/healthz/ready"); err == nil || !strings.Contains(body, "draining") {
		t.Errorf("ready while draining: %s", body)
	}
	if _, err := p.do(http.MethodPost, p.o.StatusAddress, "/quitquitquit"); err != nil {
		t.Fatal(err)
	}
	if err := <-p.finished; err != nil {
		t.Errorf("asked to end, the agent ended with %v", err)
	}
	p.finished <- nil
}

func TestCrashOfEnvoyIsAnError(t *testing.T) {
	t.Parallel()
	p := startPod(t)
	p.awaitReady(t)
	if err := syscall.Kill(p.envoyPID(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-p.finished; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the agent ended with %v, want an error that says how Envoy ended", err)
	}
	p.finished <- nil
}

// envoyPID reads the log line about Envoy's start.
func (p *pod) envoyPID(t *testing.T) int {
	t.Helper()
	_, rest, _ := strings.Cut(p.logs.String(), "pid=")
	text, _, _ := strings.Cut(rest, " ")
	pid, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// The certificate of the last life is used, and Envoy waits for its configuration.
func TestRestartWhileTheControlPlaneIsAway(t *testing.T) {
	t.Parallel()
	p := startPod(t)
	p.awaitReady(t)
	p.stop()
	if err := <-p.finished; err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.o.TokenFile, []byte("revoked"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run(t)
	p.eventually(t, "the control plane refuses the agent", func() error {
		metrics, err := p.get(p.o.StatusAddress, "/metrics")
		if err != nil {
			return err
		}
		if strings.Contains(metrics, "istio_agent_istiod_connection_terminations 0") {
			return fmt.Errorf("no stream has ended yet")
		}
		if !strings.Contains(metrics, "istio_agent_cert_expiry_seconds 3") {
			return fmt.Errorf("the saved certificate is not used")
		}
		return nil
	})
	if body, err := p.get(p.o.StatusAddress, "/healthz/ready"); err == nil {
		t.Errorf("ready without a configuration: %s", body)
	}
	if err := os.WriteFile(p.o.TokenFile, []byte(testToken), 0o600); err != nil {
		t.Fatal(err)
	}
	p.awaitReady(t)
}
