//go:build lab

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// protocols proves what the data plane promises to applications: each protocol reaches both clusters however it is declared,
// names resolve wherever a service runs, and what is not of the mesh works as without it.
func protocols(t *testing.T, l *lab) {
	echoes(t, l)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.prove(t, l) })
	}
}

var cases = []struct {
	name  string
	prove func(t *testing.T, l *lab)
}{
	{"a protocol by name, by appProtocol or by its first bytes", declared},
	{"a client that speaks HTTP/1.0", oldClients},
	{"a server that speaks first", serverFirst},
	{"unknown destinations", unknownDestinations},
	{"names", resolving},
	{"a service of one cluster only", oneClusterOnly},
	{"a service without a virtual address", headless},
	{"a pod calls itself", itself},
	{"without a sidecar", withoutSidecar},
	{"who calls is known by certificate", identified},
	{"probes of applications with sidecars", probes},
	{"the root in every namespace", rootEverywhere},
	{"nobody gets another's certificate", certificatesOfOthers},
	{"nobody gets another's configuration", configurationOfOthers},
	{"an incomplete cacerts changes nothing", incompleteAuthority},
}

// echoes runs the servers: with sidecars in namespace proto, without in namespace outside, and waits until each cluster knows
// the pods of both.
func echoes(t *testing.T, l *lab) {
	t.Helper()
	for _, c := range clusters {
		l.kubectl(t, c, "create", "namespace", "proto")
		l.kubectl(t, c, "label", "namespace", "proto", "istio-injection=enabled")
		l.kubectl(t, c, "create", "namespace", "outside")
		for file, namespace := range map[string]string{"protocols.yaml": "proto", "alone.yaml": "proto", "outside.yaml": "outside"} {
			l.apply(t, c, namespace, file)
		}
	}
	for _, c := range clusters {
		for workload, namespace := range map[string]string{"echo": "proto", "tcp-probed": "proto", "plain": "outside"} {
			l.kubectl(t, c, "rollout", "status", "-n", namespace, "deploy/"+workload, "--timeout=120s")
		}
	}
	for _, from := range sidecars {
		for _, target := range []string{"named:21003", "plain.outside:21003"} {
			eventually(t, 30*time.Second, from.cluster+" knows the pods behind "+target, func() error {
				if got := l.call(t, from, "tcp", target, 10); got.Answers["cluster1"] == 0 || got.Answers["cluster2"] == 0 {
					return fmt.Errorf("%s", got.raw)
				}
				return nil
			})
		}
	}
}

// apply applies a file of testdata, which may name its cluster as CLUSTER_NAME.
func (l *lab) apply(t *testing.T, cluster, namespace, file string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	l.mustWith(t, strings.ReplaceAll(string(text), "CLUSTER_NAME", cluster),
		"kubectl", "--context", cluster, "apply", "-n", namespace, "-f", "-")
}

// caller is a pod that calls.
type caller struct {
	cluster, namespace, workload string
}

// Callers of both clusters, with and without a sidecar.
var (
	sidecars = []caller{{"cluster1", "proto", "echo"}, {"cluster2", "proto", "echo"}}
	plains   = []caller{{"cluster1", "outside", "plain"}, {"cluster2", "outside", "plain"}}
)

// calls is what `echo call` reports.
type calls struct {
	Answers   map[string]int
	Failed    int
	Errors    []string
	SlowestMs int
	Last      struct {
		Cluster, Pod, Protocol, Peer string
		Headers                      map[string]string
	}
	raw string
}

// call calls from a pod, n times one after the other.
func (l *lab) call(t *testing.T, from caller, mode, target string, n int) calls {
	t.Helper()
	out := l.inPod(t, from, "call", "-n", strconv.Itoa(n), "-timeout", "15s", mode, target)
	got := calls{raw: strings.TrimSpace(out)}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return got
}

// inPod runs the echo program in a pod.
func (l *lab) inPod(t *testing.T, from caller, args ...string) string {
	t.Helper()
	return l.kubectl(t, from.cluster, append([]string{
		"exec", "-n", from.namespace, "deploy/" + from.workload, "-c", "echo", "--", "echo",
	}, args...)...)
}

// wantAnswers calls until all the given clusters have answered, and no other may. No call may fail.
func (l *lab) wantAnswers(t *testing.T, from caller, mode, target string, want ...string) calls {
	t.Helper()
	sum := map[string]int{}
	var got calls
	for round := 0; round < 6 && (round == 0 || len(sum) < len(want)); round++ {
		got = l.call(t, from, mode, target, 5)
		if got.Failed > 0 {
			t.Errorf("%s calls %s by %s: %s", from, target, mode, got.raw)
			return got
		}
		for c, n := range got.Answers {
			sum[c] += n
		}
	}
	for _, c := range want {
		if sum[c] == 0 {
			t.Errorf("%s calls %s by %s: answers %v, none of %s", from, target, mode, sum, c)
		}
	}
	if len(sum) > len(want) {
		t.Errorf("%s calls %s by %s: answers %v, want only %v", from, target, mode, sum, want)
	}
	return got
}

// wantPrompt wants a call that waits for nothing. A busy machine may be slow now and then, but waiting is always slow.
func (l *lab) wantPrompt(t *testing.T, from caller, mode, target string) {
	t.Helper()
	var got calls
	for range 5 {
		if got = l.call(t, from, mode, target, 1); got.Failed == 0 && got.SlowestMs < 900 {
			return
		}
	}
	t.Errorf("%s calls %s by %s, and waits each time: %s", from, target, mode, got.raw)
}

// serverSees is how the server names the protocol of a mode.
var serverSees = map[string]string{"http1": "HTTP/1.1", "http2": "HTTP/2.0", "grpc": "gRPC", "tcp": "TCP", "banner": "TCP"}

func declared(t *testing.T, l *lab) {
	ports := []struct{ declared, mode, target string }{
		{"http by name", "http1", "named:21000"},
		{"http2 by name", "http2", "named:21001"},
		{"grpc by name", "grpc", "named:21002"},
		{"tcp by name", "tcp", "named:21003"},
		{"http by appProtocol", "http1", "said:21010"},
		{"kubernetes.io/h2c by appProtocol", "http2", "said:21011"},
		{"grpc by appProtocol", "grpc", "said:21012"},
		{"tcp by appProtocol", "tcp", "said:21013"},
		{"nothing, and it is HTTP/1.1", "http1", "unsaid:21020"},
		{"nothing, and it is HTTP/2", "http2", "unsaid:21020"},
		{"nothing, and it is TCP", "tcp", "unsaid:21021"},
	}
	for _, p := range ports {
		t.Run(p.declared, func(t *testing.T) {
			for _, from := range sidecars {
				got := l.wantAnswers(t, from, p.mode, p.target, clusters...)
				if got.Last.Protocol != serverSees[p.mode] {
					t.Errorf("%s: the server was asked by %s", from.cluster, got.Last.Protocol)
				}
				if p.mode == "tcp" {
					continue
				}
				// The client keeps one connection, so each request was sent on its own way.
				if got := l.call(t, from, p.mode, p.target, 20); len(got.Answers) != 2 || got.Failed > 0 {
					t.Errorf("%s: 20 requests of one connection: %s", from.cluster, got.raw)
				}
				wantIdentity(t, got, "proto", "echo")
			}
		})
	}
}

// oldClients: requests of HTTP/1.0 are requests like others, with and without a sidecar on either side.
func oldClients(t *testing.T, l *lab) {
	for i, c := range clusters {
		for _, target := range []string{"named.proto:21000", "unsaid.proto:21020", "alone-" + clusters[1-i] + ".proto:21000"} {
			wantIdentity(t, l.curl(t, c, "-0", target), "sample", "sleep")
		}
		if got := l.curl(t, c, "-0", "plain.outside:21000"); got.Last.Protocol != "HTTP/1.1" {
			t.Errorf("%s: %s", c, got.raw)
		}
		l.wantAnswers(t, plains[i], "http1.0", "named.proto:21000", c)
	}
}

// serverFirst: where the port says that it is TCP the first word comes at once, where it says nothing after the time that
// the protocol is waited for.
func serverFirst(t *testing.T, l *lab) {
	for _, from := range sidecars {
		l.wantAnswers(t, from, "banner", "named:21004", clusters...)
		l.wantPrompt(t, from, "banner", "named:21004")
		if got := l.call(t, from, "banner", "unsaid:21022", 2); got.Failed > 0 || got.SlowestMs < 900 {
			t.Errorf("%s: the port says nothing: %s", from.cluster, got.raw)
		}
	}
	// Without a sidecar there is no TLS whose start would say that the client is not waiting for the server.
	if got := l.call(t, plains[0], "banner", "named.proto:21004", 1); got.Failed > 0 {
		t.Errorf("a client without a sidecar: %s", got.raw)
	}
}

// itself: a pod reaches itself by the service, by its address and by localhost.
func itself(t *testing.T, l *lab) {
	for _, from := range sidecars {
		ip := l.podIP(t, from.cluster, "proto", "echo")
		for _, target := range []string{"alone-" + from.cluster + ":21000", ip + ":8080", "localhost:8080"} {
			l.wantAnswers(t, from, "http1", target, from.cluster)
		}
	}
}

func (l *lab) podIP(t *testing.T, cluster, namespace, app string) string {
	t.Helper()
	return strings.TrimSpace(l.kubectl(t, cluster, "get", "pods", "-n", namespace, "-l", "app="+app,
		"-o=jsonpath={.items[0].status.podIP}"))
}

// withoutSidecar: sidecars take plain text, and speak it where there is no sidecar.
func withoutSidecar(t *testing.T, l *lab) {
	modes := []struct{ mode, port string }{{"http1", "21000"}, {"grpc", "21002"}, {"tcp", "21003"}}
	for i := range clusters {
		for _, m := range modes {
			got := l.wantAnswers(t, plains[i], m.mode, "named.proto:"+m.port, plains[i].cluster)
			if cert, ok := got.Last.Headers["x-forwarded-client-cert"]; ok {
				t.Errorf("%s: a client without a certificate is announced with %s", plains[i], cert)
			}
			l.wantAnswers(t, sidecars[i], m.mode, "plain.outside:"+m.port, clusters...)
		}
	}
	if got := l.call(t, sidecars[0], "banner", "plain.outside:21022", 1); got.Failed > 0 {
		t.Errorf("a server without a sidecar that speaks first, on a port that says nothing: %s", got.raw)
	}
}

// probes: the pods are ready, which their probes say; here that it is the agent whom the kubelet asks, since under strict
// mutual TLS the application would not answer it.
func probes(t *testing.T, l *lab) {
	for _, c := range clusters {
		for workload, want := range map[string][]string{
			"echo":       {"/app-health/echo/readyz", "/app-health/echo/livez"},
			"tcp-probed": {"/app-health/echo/startupz", "/app-health/echo/readyz", "/app-health/echo/livez"},
		} {
			pod := l.kubectl(t, c, "get", "pods", "-n", "proto", "-l", "app="+workload, "-o=json")
			for _, path := range want {
				if !strings.Contains(pod, strconv.Quote(path)) {
					t.Errorf("%s: no probe of %s asks for %s", c, workload, path)
				}
			}
			restarts := l.kubectl(t, c, "get", "pods", "-n", "proto", "-l", "app="+workload,
				`-o=jsonpath={.items[*].status.containerStatuses[?(@.name=="echo")].restartCount}`)
			if strings.TrimSpace(restarts) != "0" {
				t.Errorf("%s: %s restarted %s times", c, workload, restarts)
			}
		}
	}
}
