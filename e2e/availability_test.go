//go:build lab

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// loadFor is how long each case is under load: the cases interfere for that long. LOAD_FOR shortens it for people who
// work on a case.
func loadFor(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("LOAD_FOR")
	if text == "" {
		return 2 * time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// interference is something that happens to a mesh under load.
type interference struct {
	name    string
	prepare func(*testing.T, *lab)      // before the load starts; nil does nothing
	happen  func(*testing.T, *lab, int) // again and again while the load lasts; nil does nothing
	prove   func(*testing.T, *lab)      // that it did happen; nil where the commands' success proves it
	short   bool                        // lasts 20 seconds only
}

// The cases are shared out over the labs. Those of credentials disturb nobody's pods, so they share their two minutes.
var (
	workloadsMove = []interference{
		{name: "nothing happens", short: true},
		{name: "remote deployment scaled", happen: scaleRemote},
		{name: "pods deleted", happen: deletePods},
		{name: "istiod restarted", happen: restartControlPlane},
	}
	credentialsMove = []interference{{
		name: "certificates rotate and remote Secrets are applied again", prepare: shortCertificates, happen: applySecretAgain, prove: rotated,
	}}
)

// availability sends 100 requests a second from each cluster to the service of both while something happens. No request
// may fail.
func availability(t *testing.T, l *lab, cases []interference) {
	l.logRequests(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			duration := loadFor(t)
			if c.short {
				duration = min(duration, 20*time.Second)
			}
			if c.prepare != nil {
				c.prepare(t, l)
			}
			loads := startLoads(t, l, duration)
			round := 0
			for end := time.Now().Add(duration - 15*time.Second); c.happen != nil && time.Now().Before(end); round++ {
				c.happen(t, l, round)
				pause(t, 5*time.Second)
			}
			if c.happen != nil && round < 2 {
				t.Errorf("it happened %d times only, want at least once in each direction", round)
			}
			for _, load := range loads {
				load.judge(t)
			}
			if t.Failed() {
				l.explainRequests(t)
			}
			if c.prove != nil {
				c.prove(t, l)
			}
		})
	}
}

// logRequests makes proxies log requests, so that one that failed can be explained.
func (l *lab) logRequests(t *testing.T) {
	t.Helper()
	for _, c := range clusters {
		mesh := l.kubectl(t, c, "get", "configmap", "istio", "-n", "istio-system", "-o=jsonpath={.data.mesh}")
		patch, err := json.Marshal(map[string]any{"data": map[string]string{"mesh": "accessLogFile: /dev/stdout\n" + mesh}})
		if err != nil {
			t.Fatal(err)
		}
		l.kubectl(t, c, "patch", "configmap", "istio", "-n", "istio-system", "-p", string(patch))
		eventually(t, time.Minute, "requests are logged in "+c, func() error {
			if _, err := l.answers(t, c, 1); err != nil {
				return err
			}
			if logs := l.kubectl(t, c, "logs", "-n", "sample", "deploy/sleep", "-c", "istio-proxy", "--tail=5"); !strings.Contains(logs, "/hello") {
				return errors.New(logs)
			}
			return nil
		})
	}
}

// explainRequests logs what the clients' proxies say of requests and connections that did not go well.
func (l *lab) explainRequests(t *testing.T) {
	t.Helper()
	for _, c := range clusters {
		logs := l.kubectl(t, c, "logs", "-n", "sample", "deploy/sleep", "-c", "istio-proxy", "--since=3m")
		left := 40
		for line := range strings.Lines(logs) {
			if strings.Contains(line, `" 200 - `) || left == 0 {
				continue
			}
			left--
			t.Logf("%s: %s", c, strings.TrimSpace(line))
		}
	}
}

// pause lets a real system go on for a while.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	case <-time.After(d):
	}
}

// rate is how many requests a second each client sends.
const rate = 100

// load is a load generator that runs in a client's pod.
type load struct {
	cluster string
	due     int // requests
	out     bytes.Buffer
	errs    bytes.Buffer
	done    chan error
}

func startLoads(t *testing.T, l *lab, duration time.Duration) []*load {
	t.Helper()
	var loads []*load
	for _, c := range clusters {
		load := &load{cluster: c, due: int(rate * duration.Seconds()), done: make(chan error, 1)}
		cmd := exec.CommandContext(t.Context(), l.find("kubectl"), "--context", c, "exec", "-n", "sample", "deploy/sleep", "-c", "sleep", "--",
			"load", "-rate", strconv.Itoa(rate), "-duration", duration.String(), "http://helloworld.sample:5000/hello")
		cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = l.env, l.dir, &load.out, &load.errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { load.done <- cmd.Wait() }()
		loads = append(loads, load)
	}
	return loads
}

// judge waits for the end of the load: every request was answered, by both versions.
func (l *load) judge(t *testing.T) {
	t.Helper()
	if err := <-l.done; err != nil {
		t.Fatalf("load in %s: %v\n%s%s", l.cluster, err, l.out.String(), l.errs.String())
	}
	var report struct {
		Requests, Failed, Late int
		Versions, Errors       map[string]int
		FirstErrors            []string
		P50Ms, P99Ms, MaxMs    float64
	}
	if err := json.Unmarshal(l.out.Bytes(), &report); err != nil {
		t.Fatalf("load in %s: %v\n%s", l.cluster, err, l.out.String())
	}
	t.Logf("%s: %d requests, %d failed, answers %v, p50 %.1f ms, p99 %.1f ms, max %.1f ms, %d late",
		l.cluster, report.Requests, report.Failed, report.Versions, report.P50Ms, report.P99Ms, report.MaxMs, report.Late)
	if report.Requests < l.due*9/10 {
		t.Errorf("%s: %d requests were sent of the %d that were due", l.cluster, report.Requests, l.due)
	}
	if report.Failed > 0 {
		t.Errorf("%s: %d of %d requests failed: %v\n%s", l.cluster, report.Failed, report.Requests, report.Errors,
			strings.Join(report.FirstErrors, "\n"))
	}
	if report.Versions["v1"] == 0 || report.Versions["v2"] == 0 {
		t.Errorf("%s: answers came from %v only", l.cluster, report.Versions)
	}
}

func scaleRemote(t *testing.T, l *lab, round int) {
	replicas := 5
	if round%2 == 1 {
		replicas = 1
	}
	l.kubectl(t, "cluster2", "scale", "-n", "sample", "deploy/helloworld-v2", fmt.Sprintf("--replicas=%d", replicas))
	l.rollout(t, "cluster2", "deploy/helloworld-v2")
}

func deletePods(t *testing.T, l *lab, round int) {
	c, v := clusters[round%2], round%2+1
	l.kubectl(t, c, "delete", "pod", "-n", "sample", "-l", fmt.Sprintf("app=helloworld,version=v%d", v), "--wait=false")
	l.rollout(t, c, fmt.Sprintf("deploy/helloworld-v%d", v))
}

func restartControlPlane(t *testing.T, l *lab, round int) {
	c := clusters[round%2]
	l.kubectl(t, c, "delete", "pod", "-n", "istio-system", "-l", "app=istiod", "--wait=false")
	l.kubectl(t, c, "rollout", "status", "-n", "istio-system", "deploy/istiod", "--timeout=120s")
}

func applySecretAgain(t *testing.T, l *lab, round int) {
	from, to := clusters[round%2], clusters[(round+1)%2]
	secret := l.must(t, "istioctl", "create-remote-secret", "--context="+from, "--name="+from)
	if out := l.mustWith(t, secret, "kubectl", "--context", to, "apply", "-f", "-"); !strings.Contains(out, "istio-remote-secret-"+from) {
		t.Errorf("kubectl apply says %q", out)
	}
}

// shortCertificates makes the samples' certificates live 30 seconds, so that they are renewed every 15.
func shortCertificates(t *testing.T, l *lab) {
	t.Helper()
	const patch = `{"spec":{"template":{"metadata":{"annotations":{"proxy.istio.io/config":"{\"proxyMetadata\":{\"SECRET_TTL\":\"30s\"}}"}}}}}`
	for i, c := range clusters {
		for _, workload := range []string{fmt.Sprintf("deploy/helloworld-v%d", i+1), "deploy/sleep"} {
			l.kubectl(t, c, "patch", "-n", "sample", workload, "-p", patch)
			l.rollout(t, c, workload)
		}
	}
	l.bothVersions(t)
}

// rotated proves that certificates were renewed, about as often as their age asks for and not all the time.
func rotated(t *testing.T, l *lab) {
	due := int(loadFor(t).Seconds() / 15)
	for i, c := range clusters {
		logs := l.kubectl(t, c, "logs", "-n", "sample", fmt.Sprintf("deploy/helloworld-v%d", i+1), "-c", "istio-proxy")
		if got := strings.Count(logs, "certificate renewed"); got < max(1, due/2) || got > 4*(due+4) {
			t.Errorf("%s: certificates were renewed %d times, want about %d", c, got, due)
		}
	}
}
