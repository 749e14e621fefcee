//go:build apiserver

package clusters_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	istioclient "istio.io/client-go/pkg/clientset/versioned"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/internal/clusters"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// TestRealAPIServers reads two of them, as processes on loopback: lists are streamed there, which no fake does. The folder
// of etcd and kube-apiserver is in KUBERNETES_BIN.
//
//	KUBERNETES_BIN=$(dirname $(isthmus-lab build --print-path etcd)) go test -tags apiserver -run RealAPIServers ./internal/clusters
func TestRealAPIServers(t *testing.T) {
	own, west := startAPIServer(t), startAPIServer(t)
	client := kubernetes.NewForConfigOrDie(own.config)
	write := kubernetes.NewForConfigOrDie(west.config)
	set := clusters.New(clusters.Options{
		Cluster: "cluster1", Namespace: "default", Client: client, Istio: istioclient.NewForConfigOrDie(own.config),
		Log: slog.New(slog.DiscardHandler), Probe: time.Second,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- set.Run(ctx) }()
	var last clusters.Update
	until := func(what string, ok func() bool) {
		t.Helper()
		deadline := time.After(60 * time.Second)
		again := time.NewTicker(50 * time.Millisecond)
		defer again.Stop()
		for !ok() {
			select {
			case last = <-set.Changes():
			case <-again.C:
			case <-deadline:
				t.Fatalf("not in time: %s; status %+v", what, set.Status())
			}
		}
	}
	until("own cluster", func() bool { return len(last.Clusters) == 1 })

	secret := remoteSecret("west", "cluster2", west.kubeconfig)
	secret.Namespace = "default"
	if _, err := client.CoreV1().Secrets("default").Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	services := func() int {
		if len(last.Clusters) != 2 {
			return -1
		}
		return last.Clusters[1].Count(registry.KindService)
	}
	until("remote cluster", func() bool { return services() >= 0 })
	before := services()
	add := func(name string) {
		t.Helper()
		service := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
		}
		if _, err := write.CoreV1().Services("default").Create(ctx, service, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	add("cart")
	until("a service of the remote", func() bool { return services() == before+1 })

	west.stop(t)
	until("stale", func() bool { return set.Status()[1].State == clusters.Stale })
	if services() != before+1 {
		t.Errorf("%d services while the API server is away, want %d", services(), before+1)
	}
	west.start(t)
	until("synced again", func() bool { return set.Status()[1].State == clusters.Synced })
	add("cart2")
	until("another service", func() bool { return services() == before+2 })

	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// process is a kube-apiserver with its etcd.
type process struct {
	folder, port string
	args         []string
	config       *rest.Config
	kubeconfig   string
	api          *exec.Cmd
}

func startAPIServer(t *testing.T) *process {
	t.Helper()
	bin := os.Getenv("KUBERNETES_BIN")
	if bin == "" {
		t.Fatal("KUBERNETES_BIN does not name the folder of etcd and kube-apiserver")
	}
	p := &process{folder: t.TempDir(), port: freePort(t)}
	etcd, peer := "http://127.0.0.1:"+freePort(t), "http://127.0.0.1:"+freePort(t)
	launch(t, filepath.Join(bin, "etcd"), "--data-dir", filepath.Join(p.folder, "etcd"), "--unsafe-no-fsync", "--log-level", "error",
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	key := filepath.Join(p.folder, "sa.key")
	if out, err := exec.Command("openssl", "genrsa", "-out", key, "2048").CombinedOutput(); err != nil {
		t.Fatalf("make a key: %v: %s", err, out)
	}
	token := fmt.Sprintf("t%d", time.Now().UnixNano())
	tokens := filepath.Join(p.folder, "tokens.csv")
	if err := os.WriteFile(tokens, []byte(token+",admin,admin,system:masters\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.args = []string{
		filepath.Join(bin, "kube-apiserver"), "--etcd-servers", etcd, "--secure-port", p.port, "--bind-address", "127.0.0.1",
		"--cert-dir", p.folder, "--service-cluster-ip-range", "10.0.0.0/24", "--authorization-mode", "RBAC", "--token-auth-file", tokens,
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", key, "--service-account-signing-key-file", key,
		"--disable-admission-plugins", "ServiceAccount", "--shutdown-delay-duration", "0s",
	}
	p.config = &rest.Config{Host: "https://127.0.0.1:" + p.port, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, QPS: 100, Burst: 100}
	p.kubeconfig = fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: c}}],
clusters: [{name: c, cluster: {server: "%s", insecure-skip-tls-verify: true}}], users: [{name: c, user: {token: "%s"}}]}`, p.config.Host, token)
	p.start(t)
	return p
}

func (p *process) start(t *testing.T) {
	t.Helper()
	p.api = launch(t, p.args[0], p.args[1:]...)
	client := kubernetes.NewForConfigOrDie(p.config)
	deadline := time.Now().Add(60 * time.Second)
	for {
		body, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("API server is not ready: %v: %s", err, body)
		}
		<-time.After(200 * time.Millisecond) // a real process is awaited
	}
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.api.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.api.Wait() // says that it was killed
}

func launch(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(program, args...)
	log, err := os.CreateTemp(t.TempDir(), filepath.Base(program)+".log")
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // may have ended
		_ = c.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s: ...%s", filepath.Base(program), text[max(0, len(text)-3000):])
		}
	})
	return c
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
