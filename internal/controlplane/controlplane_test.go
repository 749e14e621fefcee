package controlplane

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/isthmus-mesh/isthmus/internal/clusters"
	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

var quiet = slog.New(slog.DiscardHandler)

func TestPlaintextIsForLoopbackOnly(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"": true, "127.0.0.1:15010": true, "[::1]:15010": true,
		":15010": false, "0.0.0.0:15010": false, "10.0.0.1:15010": false, "localhost:15010": false,
	} {
		o := Options{Cluster: "c1", PlaintextAddress: address}
		if err := o.Validate(); (err == nil) != ok {
			t.Errorf("Validate with %q = %v, want ok %t", address, err, ok)
		}
	}
}

// Not parallel: it sets the environment.
func TestEnvironmentIsRead(t *testing.T) {
	t.Setenv("TOKEN_AUDIENCES", "istio-ca,vault")
	for word, want := range map[string]NativeSidecars{"": Auto, "auto": Auto, "true": Always, "FALSE": Never, "nonsense": Auto} {
		t.Setenv("ENABLE_NATIVE_SIDECARS", word)
		if got := FromEnvironment().NativeSidecars; got != want {
			t.Errorf("ENABLE_NATIVE_SIDECARS=%s is read as %v", word, got)
		}
	}
	if got := FromEnvironment().TokenAudiences; !slices.Equal(got, []string{"istio-ca", "vault"}) {
		t.Errorf("token audiences %q", got)
	}
}

func TestReadySaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	r := newReadiness(ownCluster, injector)
	status := func() (int, string) {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ready", nil))
		body, _ := io.ReadAll(w.Body)
		return w.Code, string(body)
	}
	r.done(injector)
	if code, text := status(); code != http.StatusServiceUnavailable || !strings.Contains(text, ownCluster) || strings.Contains(text, injector) {
		t.Errorf("/ready = %d %q", code, text)
	}
	r.done(ownCluster)
	if code, _ := status(); code != http.StatusOK {
		t.Errorf("/ready = %d", code)
	}
}

func TestDebugPagesAreForThisHost(t *testing.T) {
	t.Parallel()
	h := loopbackOnly(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for from, want := range map[string]int{
		"127.0.0.1:4000": http.StatusOK, "[::1]:4000": http.StatusOK, "[::ffff:127.0.0.1]:1": http.StatusOK,
		"10.1.2.3:4000": http.StatusForbidden, "nonsense": http.StatusForbidden,
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/debug/syncz", nil)
		r.RemoteAddr = from
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("from %s: %d, want %d", from, w.Code, want)
		}
	}
}

func TestMeshSettingsKeepWhatIsInstalled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := fake.NewClientset(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "istio", Namespace: "istio-system"},
		Data:       map[string]string{"mesh": "trustDomain: example.org\n"},
	})
	m := newMeshSettings(registry.Own{Cluster: "c1"}, quiet)
	m.setInstalled("network1", "mesh1")
	changes := make(chan struct{}, 10)
	if err := m.watch(ctx, client, "istio-system", "", func() { changes <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	<-changes
	if got := m.current(); got.TrustDomain != "example.org" || got.Network != "network1" || got.ID != "mesh1" {
		t.Errorf("mesh = %+v", got)
	}
}

func TestABadEditOfTheMeshKeepsWhatWasGood(t *testing.T) {
	t.Parallel()
	m := newMeshSettings(registry.Own{Cluster: "c1"}, quiet)
	set := func(mesh, networks string) *model.Mesh {
		m.setConfig(&corev1.ConfigMap{Data: map[string]string{"mesh": mesh, "meshNetworks": networks}})
		return m.current()
	}
	set("connectTimeout: 3s\naccessLogFile: /dev/stdout", "networks: {network1: {endpoints: [{fromRegistry: c1}]}}")
	got := set("connectTimeout: 3s\naccessLogFile: [", "networks: [")
	if got.AccessLogFile != "/dev/stdout" || got.ConnectTimeout != 3*time.Second || len(got.Networks) != 1 || len(m.trouble()) != 2 {
		t.Errorf("mesh = %+v, problems %v", got, m.trouble())
	}
	got = set("connectTimeout: soon\naccessLogFile: /other", "networks: {network2: {}}")
	if got.AccessLogFile != "/other" || got.ConnectTimeout != 3*time.Second || got.Networks[0].Network != "network2" || len(m.trouble()) != 1 {
		t.Errorf("mesh = %+v, problems %v", got, m.trouble())
	}
}

func TestTheTrustDomainStaysUntilARestart(t *testing.T) {
	t.Parallel()
	m := newMeshSettings(registry.Own{Cluster: "c1"}, quiet)
	set := func(mesh string) {
		m.setConfig(&corev1.ConfigMap{Data: map[string]string{"mesh": mesh}})
	}
	set("trustDomain: td1")
	if got := m.fixTrustDomain(); got != "td1" {
		t.Fatalf("started with %s", got)
	}
	set("trustDomain: td2\naccessLogFile: /dev/stdout")
	if got := m.current(); got.TrustDomain != "td1" || got.AccessLogFile != "/dev/stdout" {
		t.Errorf("mesh = %+v", got)
	}
	if p := m.trouble(); len(p) != 1 || !strings.Contains(p[0].Text, "restarted") {
		t.Errorf("problems %v", p)
	}
	set("trustDomain: td1")
	if p := m.trouble(); len(p) != 0 {
		t.Errorf("problems %v after it was set back", p)
	}
}

func TestServingNamesHoldTheDiscoveryAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"istiod.example.com:15012": "istiod.example.com", "mesh.example.com": "mesh.example.com", "192.0.2.1:15012": ""} {
		d := &istiod{Options: Options{Namespace: "istio-system", CustomHosts: []string{"own.example.com"}}, settings: newMeshSettings(registry.Own{}, quiet)}
		d.settings.setConfig(&corev1.ConfigMap{Data: map[string]string{"mesh": "defaultConfig: {discoveryAddress: '" + address + "'}"}})
		names := d.servingNames()
		if want != "" && !slices.Contains(names, want) || slices.Contains(names, "192.0.2.1") || !slices.Contains(names, "own.example.com") {
			t.Errorf("with %s: %q", address, names)
		}
	}
}

func TestShutdownLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	begun, finish, returned := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var done atomic.Bool
	go func() {
		returned <- serveOn(ctx, l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			close(begun)
			<-finish
			done.Store(true)
		}))
	}()
	answered := make(chan error, 1)
	go func() {
		res, err := http.Get("http://" + l.Addr().String())
		if err == nil {
			_ = res.Body.Close()
		}
		answered <- err
	}()
	<-begun
	cancel()
	for err = nil; err == nil; { // until the end has begun
		var conn net.Conn
		if conn, err = net.Dial("tcp", l.Addr().String()); err == nil {
			_ = conn.Close()
		}
	}
	go close(finish)
	if err := <-returned; err != nil || !done.Load() {
		t.Errorf("returned %v, request done: %t", err, done.Load())
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestAPanicKeepsTheLastSnapshot(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	updates, published := make(chan clusters.Update), make(chan *model.Snapshot, 1)
	settings := newMeshSettings(registry.Own{Cluster: "c1"}, quiet)
	p := newPublisher(updates, settings.current, func(s *model.Snapshot) { published <- s }, quiet)
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx) }()
	good := clusters.Update{Clusters: []*registry.Objects{registry.NewObjects("c1")}}
	updates <- good
	first := <-published
	updates <- clusters.Update{Clusters: []*registry.Objects{nil}} // no such thing comes; it stands for what panics
	updates <- good
	if p.snapshot() != first {
		t.Error("a panic took the snapshot away")
	}
	settings.setInstalled("network1", "")
	p.settingsChanged()
	if next := <-published; next.Mesh.Network != "network1" {
		t.Errorf("mesh %+v after a panic", next.Mesh)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestPublisherBuildsOnChangesOfObjectsAndSettings(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	updates, published := make(chan clusters.Update), make(chan *model.Snapshot, 1)
	settings := newMeshSettings(registry.Own{Cluster: "c1"}, quiet)
	p := newPublisher(updates, settings.current, func(s *model.Snapshot) { published <- s }, quiet)
	go func() { _ = p.run(ctx) }()

	p.settingsChanged() // nothing to publish before the own cluster is known
	updates <- clusters.Update{Clusters: []*registry.Objects{registry.NewObjects("c1")}}
	first := <-published
	if first.Mesh.Network != "" || p.snapshot() != first {
		t.Errorf("first snapshot: mesh %+v", first.Mesh)
	}
	settings.setInstalled("network1", "")
	p.settingsChanged()
	if second := <-published; second.Mesh.Network != "network1" {
		t.Errorf("second snapshot: mesh %+v", second.Mesh)
	}
}
