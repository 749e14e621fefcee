package meshtest

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/bench/apiserver"
	"github.com/isthmus-mesh/isthmus/bench/process"
	"github.com/isthmus-mesh/isthmus/bench/sidecar"
	"github.com/isthmus-mesh/isthmus/bench/synthetic"
	"github.com/isthmus-mesh/isthmus/internal/controlplane"
	"github.com/isthmus-mesh/isthmus/internal/envoytest"
	"github.com/isthmus-mesh/isthmus/internal/remotesecret"
)

// patience is how long real processes may take for something; generous for a machine under load.
const patience = 90 * time.Second

// sizes of the mesh in real API servers.
var sizes = synthetic.Sizes{Services: 10, Endpoints: 2, Namespaces: 2, Nodes: 3, Clusters: 2, Proxies: 2}

// realMesh is two API servers on loopback, and the control plane of the first one in this process.
type realMesh struct {
	servers [2]*apiserver.Server
	writers [2]*synthetic.Writer
	xds     string // address of discovery
	spares  int
}

// TestRealAPIServersAndEnvoy is one story, since the servers take long to start.
func TestRealAPIServersAndEnvoy(t *testing.T) {
	t.Parallel()
	m := startRealMesh(t)
	envoy := m.startEnvoy(t)
	delta, world := m.startFleet(t, false), m.startFleet(t, true)
	service := sizes.Service(1)
	own, remote := sizes.Pod(1, 1, 0), sizes.Pod(2, 1, 0)

	envoy.Await(t, "it has endpoints of the own cluster", hasEndpoints(t, envoy, service, own, sizes.Pod(1, 1, 1)))
	if err := hasEndpoints(t, envoy, service, remote)(); err == nil {
		t.Fatal("Envoy has endpoints of a cluster that has not joined")
	}

	m.join(t)
	envoy.Await(t, "it has endpoints of both clusters", hasEndpoints(t, envoy, service, own, sizes.Pod(1, 1, 1), remote, sizes.Pod(2, 1, 1)))

	for cluster := range m.writers {
		came := m.replaceEndpoint(t, cluster, service, delta, world)
		envoy.Await(t, "it has the endpoint that came", hasEndpoints(t, envoy, service, came))
	}
	m.addService(t, delta, world)
	m.removeService(t, delta, world)
	wantSameContents(t, delta, world)

	m.leave(t)
	envoy.Await(t, "it has endpoints of the own cluster only", func() error {
		return wantClusters(t, envoy, service, 1)
	})
	wantNothingRefused(t, envoy)
	wantSameContents(t, delta, world)
}

func startRealMesh(t *testing.T) *realMesh {
	t.Helper()
	m := &realMesh{}
	dir, programs := t.TempDir(), programs(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	starting, ctx := errgroup.WithContext(ctx)
	for i := range m.servers {
		starting.Go(func() (err error) {
			name := fmt.Sprintf("cluster%d", i+1)
			if m.servers[i], err = apiserver.Start(ctx, apiserver.Options{Programs: programs, Dir: dir, Cluster: name}); err != nil {
				return err
			}
			if m.writers[i], err = synthetic.NewWriter(sizes, i+1, m.servers[i].Config); err != nil {
				return err
			}
			return m.writers[i].All(ctx)
		})
	}
	t.Cleanup(func() {
		for _, s := range m.servers {
			if s != nil {
				s.Stop()
			}
		}
	})
	if err := starting.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := m.writers[0].SystemNamespace(t.Context(), system); err != nil {
		t.Fatal(err)
	}
	m.startControlPlane(t)
	return m
}

// programs is the folder of etcd and kube-apiserver: $LAB_BIN, else where PATH has them. Without them the test fails.
func programs(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("LAB_BIN"); dir != "" {
		return dir
	}
	path, err := exec.LookPath("kube-apiserver")
	if err != nil {
		t.Fatalf("%v: set LAB_BIN to what `isthmus-lab build` prints, or run `make test-mesh`", err)
	}
	return filepath.Dir(path)
}

// startControlPlane runs what the istiod command runs, in this process.
func (m *realMesh) startControlPlane(t *testing.T) {
	t.Helper()
	o := controlplane.FromEnvironment()
	o.Kubeconfig, o.Cluster, o.Namespace = m.servers[0].KubeconfigFile, "cluster1", system
	m.xds, o.HTTPAddress, o.MonitoringAddress = freeAddress(t), freeAddress(t), freeAddress(t)
	o.PlaintextAddress = m.xds
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- controlplane.Run(ctx, o, slog.New(slog.NewTextHandler(t.Output(), nil))) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("control plane: %v", err)
		}
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// startFleet connects simulated sidecars that keep what they get.
func (m *realMesh) startFleet(t *testing.T, world bool) *sidecar.Fleet {
	t.Helper()
	nodes := make([]*corev3.Node, sizes.Proxies)
	for i := range nodes {
		p := sizes.ProxyPod(i)
		nodes[i] = sidecar.Node(sidecar.Facts{
			Pod: p.Name, Namespace: p.Service.Namespace, ServiceAccount: p.Service.Name, Address: p.Address.String(),
			Cluster: "cluster1", Region: synthetic.Region, Zone: synthetic.Zone(p.Node), Labels: p.Labels(),
		})
	}
	f := sidecar.NewFleet(nodes, sidecar.Options{Address: m.xds, WorldState: world, Names: true, Keep: true})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	t.Cleanup(f.Disconnect)
	if _, err := f.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	return f
}

func (m *realMesh) join(t *testing.T) {
	t.Helper()
	if err := m.writers[0].Join(t.Context(), system, "cluster2", m.servers[1].Kubeconfig); err != nil {
		t.Fatal(err)
	}
}

func (m *realMesh) leave(t *testing.T) {
	t.Helper()
	secrets := m.writers[0].Client().CoreV1().Secrets(system)
	if err := secrets.Delete(t.Context(), remotesecret.NamePrefix+"cluster2", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// spare adds a pod behind a service that no slice names yet.
func (m *realMesh) spare(t *testing.T, cluster int, service synthetic.Service) synthetic.Pod {
	t.Helper()
	m.spares++
	p := sizes.Spare(cluster+1, service, m.spares)
	if err := m.writers[cluster].AddPod(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// seen makes a change and waits until every sidecar of both fleets has its signs.
func seen(t *testing.T, what string, fleets []*sidecar.Fleet, signs []sidecar.Sign, change func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var changes []*sidecar.Change
	for _, f := range fleets {
		c := sidecar.NewChange(signs...)
		f.Expect(c)
		c.Begin()
		changes = append(changes, c)
	}
	if err := change(ctx); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for i, c := range changes {
		select {
		case <-c.Done():
			took, _ := c.Latencies()
			t.Logf("%s: fleet %d after %v", what, i, took)
		case <-ctx.Done():
			_, missing := c.Latencies()
			t.Fatalf("%s: %d sidecars of fleet %d did not hear of it", what, missing, i)
		}
	}
}

func (m *realMesh) replaceEndpoint(t *testing.T, cluster int, service synthetic.Service, fleets ...*sidecar.Fleet) synthetic.Pod {
	t.Helper()
	came := m.spare(t, cluster, service)
	sign := sidecar.Sign{Type: sidecar.Endpoints, Name: service.Upstream(), Text: came.Address.String()}
	seen(t, fmt.Sprintf("endpoint of cluster%d replaced", cluster+1), fleets, []sidecar.Sign{sign}, func(ctx context.Context) error {
		return m.writers[cluster].Replace(ctx, 1, came)
	})
	return came
}

// addService adds a service that exists in the other cluster only.
func (m *realMesh) addService(t *testing.T, fleets ...*sidecar.Fleet) {
	t.Helper()
	service := sizes.Extra(0)
	pod := m.spare(t, 1, service)
	signs := []sidecar.Sign{
		{Type: sidecar.Upstreams, Name: service.Upstream()},
		{Type: sidecar.Endpoints, Name: service.Upstream(), Text: pod.Address.String()},
		{Type: sidecar.Routes, Text: service.Hostname()},
		{Type: sidecar.Names, Text: service.Hostname()},
	}
	seen(t, "service added", fleets, signs, func(ctx context.Context) error { return m.writers[1].AddService(ctx, service, pod) })
}

func (m *realMesh) removeService(t *testing.T, fleets ...*sidecar.Fleet) {
	t.Helper()
	service := sizes.Extra(0)
	sign := sidecar.Sign{Type: sidecar.Upstreams, Name: service.Upstream(), Gone: true}
	seen(t, "service removed", fleets, []sidecar.Sign{sign}, func(ctx context.Context) error { return m.writers[1].RemoveService(ctx, service) })
}

// wantSameContents waits until the sidecars of both protocols hold the same, byte for byte.
func wantSameContents(t *testing.T, delta, world *sidecar.Fleet) {
	t.Helper()
	var difference string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if difference = contentsDiffer(delta, world); difference == "" {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(20 * time.Millisecond): // nothing tells when the last response has come
		}
	}
	t.Errorf("delta and state of the world do not converge: %s", difference)
}

func contentsDiffer(delta, world *sidecar.Fleet) string {
	for number := range sizes.Proxies {
		for _, typ := range sidecar.All {
			d, w := delta.Contents(number, typ), world.Contents(number, typ)
			if typ == sidecar.Names { // the table's own name cannot be told in the state of the world
				if !slices.Equal(slices.Collect(maps.Values(d)), slices.Collect(maps.Values(w))) {
					return fmt.Sprintf("sidecar %d has other names", number)
				}
				continue
			}
			if len(d) == 0 || !slices.Equal(slices.Sorted(maps.Keys(d)), slices.Sorted(maps.Keys(w))) {
				return fmt.Sprintf("sidecar %d holds of %s by delta %v, else %v", number, typ, slices.Sorted(maps.Keys(d)), slices.Sorted(maps.Keys(w)))
			}
			for name := range d {
				if d[name] != w[name] {
					return fmt.Sprintf("sidecar %d holds %s %s in two forms", number, typ, name)
				}
			}
		}
	}
	return ""
}

// hasEndpoints checks that Envoy has these pods behind a service.
func hasEndpoints(t *testing.T, e *envoytest.Envoy, service synthetic.Service, pods ...synthetic.Pod) func() error {
	t.Helper()
	return func() error {
		have, err := endpointsInEnvoy(t, e, service)
		if err != nil {
			return err
		}
		for _, p := range pods {
			if !slices.Contains(have, p.Address.String()) {
				return fmt.Errorf("%s is not behind %s: %v", p.Address, service.Hostname(), have)
			}
		}
		return nil
	}
}

// wantClusters checks that Envoy's endpoints of a service are all of one cluster.
func wantClusters(t *testing.T, e *envoytest.Envoy, service synthetic.Service, cluster int) error {
	t.Helper()
	have, err := endpointsInEnvoy(t, e, service)
	if err != nil {
		return err
	}
	for _, address := range have {
		if in := int(netip.MustParseAddr(address).As4()[1] >> 6); in != cluster {
			return fmt.Errorf("%s is in cluster%d", address, in)
		}
	}
	if len(have) != sizes.Endpoints {
		return fmt.Errorf("%d endpoints, want %d", len(have), sizes.Endpoints)
	}
	return nil
}
