// Package meshtest drives whole control planes in the test process by scripts in text files: API servers in memory, their
// watches, the registry, discovery, and sidecars that ask it over gRPC. Time stands still in them, so nothing is waited for
// and everything can be said exactly. Its other tests do the same with real API servers and a real Envoy on loopback. Only
// tests use it.
package meshtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing/synctest"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/bench/sidecar"
	"github.com/isthmus-mesh/isthmus/internal/clusters"
	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
	"github.com/isthmus-mesh/isthmus/internal/remotesecret"
	"github.com/isthmus-mesh/isthmus/internal/translate"
	"github.com/isthmus-mesh/isthmus/internal/xds"
)

// system is the namespace of control planes.
const system = "istio-system"

// mesh is everything that a script runs. It lives in a bubble of testing/synctest.
type mesh struct {
	ctx      context.Context
	apis     map[string]*apiServer    // by cluster
	planes   map[string]*controlPlane // by own cluster
	sidecars map[string]*proxy        // by name
	running  sync.WaitGroup
}

// controlPlane is istiod without certificates and injection.
type controlPlane struct {
	set      *clusters.Set
	server   *xds.Server
	listener *bufconn.Listener
}

// proxy is one sidecar, and what it had got before the last change.
type proxy struct {
	fleet  *sidecar.Fleet
	before sidecar.ByType
}

func newMesh(ctx context.Context) *mesh {
	return &mesh{ctx: ctx, apis: map[string]*apiServer{}, planes: map[string]*controlPlane{}, sidecars: map[string]*proxy{}}
}

// api gives the API server of a cluster, which is made when it is first named.
func (m *mesh) api(cluster string) *apiServer {
	if m.apis[cluster] == nil {
		m.apis[cluster] = newAPIServer()
	}
	return m.apis[cluster]
}

// startControlPlane runs the control plane of a cluster.
func (m *mesh) startControlPlane(cluster string) error {
	if m.planes[cluster] != nil {
		return fmt.Errorf("%s has a control plane already", cluster)
	}
	log := slog.New(slog.DiscardHandler)
	p := &controlPlane{
		set: clusters.New(clusters.Options{
			Cluster: model.Cluster(cluster), Namespace: system, Client: m.api(cluster).Clientset, Open: m.open, Log: log,
		}),
		server:   xds.New(xds.Options{Generator: translate.Generator{}, Log: log}),
		listener: bufconn.Listen(1 << 20),
	}
	m.planes[cluster] = p
	server := grpc.NewServer(p.server.ServerOptions()...)
	p.server.Register(server)
	m.running.Go(func() { _ = p.set.Run(m.ctx) })
	m.running.Go(func() { p.publish(m.ctx, cluster) })
	m.running.Go(func() { _ = server.Serve(p.listener) })
	m.running.Go(func() {
		<-m.ctx.Done()
		server.Stop()
	})
	return nil
}

// publish builds a snapshot of each update, as the control plane does.
func (p *controlPlane) publish(ctx context.Context, cluster string) {
	mesh, _ := registry.MeshFrom(nil, nil, registry.Own{Cluster: model.Cluster(cluster)})
	var last *model.Snapshot
	for {
		select {
		case <-ctx.Done():
			return
		case update := <-p.set.Changes():
			if next := registry.Build(last, update.Clusters, mesh); next != last {
				last = next
				p.server.Publish(next)
			}
		}
	}
}

// open gives the client that a kubeconfig of kubeconfigFor leads to.
func (m *mesh) open(kubeconfig []byte) (clusters.Client, error) {
	config, err := remotesecret.RESTConfig(kubeconfig)
	if err != nil {
		return clusters.Client{}, err
	}
	for cluster, api := range m.apis {
		if config.Host == urlOf(cluster) {
			return clusters.Client{Kubernetes: api.Clientset}, nil
		}
	}
	return clusters.Client{}, fmt.Errorf("nothing answers at %s", config.Host)
}

// connect starts a sidecar in a cluster and waits until it has its configuration.
func (m *mesh) connect(name, cluster, namespace string) error {
	plane := m.planes[cluster]
	if plane == nil {
		return fmt.Errorf("%s has no control plane", cluster)
	}
	if m.sidecars[name] != nil {
		return fmt.Errorf("there is a sidecar %s already", name)
	}
	node := sidecar.Node(sidecar.Facts{
		Pod: name, Namespace: namespace, ServiceAccount: "default", Address: "10.255.0.1", Cluster: cluster,
	})
	p := &proxy{fleet: sidecar.NewFleet([]*corev3.Node{node}, sidecar.Options{
		Address: cluster, Keep: true, Names: true,
		Dial: func(ctx context.Context, _ string) (net.Conn, error) { return plane.listener.DialContext(ctx) },
	})}
	m.sidecars[name] = p
	_, err := p.fleet.Connect(m.ctx)
	return err
}

// settle lets everything happen that follows from what was done.
func (m *mesh) settle() { synctest.Wait() }

// changing notes what the sidecars have got, since the script is about to change something.
func (m *mesh) changing() {
	for _, p := range m.sidecars {
		p.before = p.fleet.Traffic()
	}
}

// sent gives what a sidecar has got since the last change.
func (p *proxy) sent() sidecar.ByType {
	all := p.fleet.Traffic()
	for t := range all {
		all[t] = all[t].Sub(p.before[t])
	}
	return all
}

// state says how fresh what a control plane knows of a cluster is.
func (m *mesh) state(plane, cluster string) (string, error) {
	p := m.planes[plane]
	if p == nil {
		return "", fmt.Errorf("%s has no control plane", plane)
	}
	for _, s := range p.set.Status() {
		if string(s.Cluster) == cluster {
			return s.State.String(), nil
		}
	}
	return "unknown", nil
}

// join writes the Secret by which a cluster's control plane reads another; broken makes it one with which nothing can be read.
func (m *mesh) join(cluster, remote string, broken bool) error {
	kubeconfig := kubeconfigFor(remote)
	if broken {
		kubeconfig = []byte("apiVersion: v1\nkind: Config\n")
	}
	secret := remoteSecret(remote, kubeconfig)
	return m.api(cluster).put(secret)
}

// leave deletes that Secret.
func (m *mesh) leave(cluster, remote string) error {
	name := remotesecret.NamePrefix + remote
	return m.api(cluster).CoreV1().Secrets(system).Delete(m.ctx, name, metav1.DeleteOptions{})
}

// stop ends everything. The context has ended by then.
func (m *mesh) stop() error {
	for _, p := range m.sidecars {
		p.fleet.Disconnect()
	}
	m.running.Wait()
	if m.ctx.Err() == nil {
		return errors.New("stopped before its context ended")
	}
	return nil
}
