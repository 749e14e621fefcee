package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"golang.org/x/sync/errgroup"

	"github.com/isthmus-mesh/isthmus/bench/apiserver"
	"github.com/isthmus-mesh/isthmus/bench/process"
	"github.com/isthmus-mesh/isthmus/bench/sidecar"
	"github.com/isthmus-mesh/isthmus/bench/synthetic"
)

const systemNamespace = "istio-system"

// bench is everything that runs.
type bench struct {
	settings
	dir    string
	result *Result

	servers []*apiserver.Server // by cluster number less one; each may be nil while they start
	writers []*synthetic.Writer
	istiod  *process.Process
	fleet   *sidecar.Fleet

	spares  []int // pods that were added to each cluster
	changed []int // endpoints that were changed in each cluster
}

// start runs the API servers, writes the mesh, and runs istiod.
func start(ctx context.Context, s settings, dir string, result *Result) (*bench, error) {
	n := s.sizes.Clusters
	b := &bench{
		settings: s, dir: dir, result: result,
		servers: make([]*apiserver.Server, n), writers: make([]*synthetic.Writer, n), spares: make([]int, n), changed: make([]int, n),
	}
	if err := b.prepare(ctx); err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

func (b *bench) prepare(ctx context.Context) error {
	if err := b.build(ctx); err != nil {
		return err
	}
	say("start %d API server(s), write %d services of %d endpoints into each", b.sizes.Clusters, b.sizes.Services, b.sizes.Endpoints)
	group, starting := errgroup.WithContext(ctx)
	for i := range b.sizes.Clusters {
		group.Go(func() error { return b.startCluster(starting, i) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	own := b.writers[0]
	if err := own.SystemNamespace(ctx, systemNamespace); err != nil {
		return fmt.Errorf("make namespace %s: %w", systemNamespace, err)
	}
	for i := 1; i < b.sizes.Clusters; i++ {
		if err := own.Join(ctx, systemNamespace, clusterNames[i], b.servers[i].Kubeconfig); err != nil {
			return fmt.Errorf("join %s: %w", clusterNames[i], err)
		}
	}
	return b.startIstiod(ctx)
}

// stop ends all that was started; a second call does nothing.
func (b *bench) stop() {
	if b.fleet != nil {
		b.fleet.Disconnect()
		b.fleet = nil
	}
	if b.istiod != nil {
		b.istiod.Stop()
		b.istiod = nil
	}
	var stopping sync.WaitGroup
	for i, server := range b.servers {
		if server != nil {
			stopping.Go(server.Stop)
			b.servers[i] = nil
		}
	}
	stopping.Wait()
}

// build makes istiod as a release has it, unless one was named.
func (b *bench) build(ctx context.Context) error {
	if b.settings.istiod != "" {
		return nil
	}
	say("build istiod")
	b.settings.istiod = filepath.Join(b.dir, "istiod")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.settings.istiod,
		"github.com/isthmus-mesh/isthmus/cmd/istiod")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build istiod: %w\n%s", err, out)
	}
	return nil
}

func (b *bench) startCluster(ctx context.Context, i int) error {
	server, err := apiserver.Start(ctx, apiserver.Options{Programs: b.programs, Dir: b.dir, Cluster: clusterNames[i]})
	if err != nil {
		return err
	}
	b.servers[i] = server
	b.writers[i], err = synthetic.NewWriter(b.sizes, i+1, server.Config)
	if err != nil {
		return err
	}
	return b.writers[i].All(ctx)
}

// startIstiod runs istiod and waits until it is ready, and until it serves the other cluster's endpoints.
func (b *bench) startIstiod(ctx context.Context) error {
	var address [3]string
	for i := range address {
		var err error
		if address[i], err = process.FreeAddress(); err != nil {
			return err
		}
	}
	say("start istiod")
	begin := time.Now()
	var err error
	b.istiod, err = process.Start(b.dir, "istiod", b.settings.istiod, "--kubeconfig", b.servers[0].KubeconfigFile,
		"--cluster-id", clusterNames[0], "--namespace", systemNamespace, "--test-plaintext-xds", address[0],
		"--httpAddr", address[1], "--monitoringAddr", address[2])
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	err = b.istiod.Await(waiting, "it is ready", func(ctx context.Context) error { return get(ctx, "http://"+address[1]+"/ready") })
	if err != nil {
		return err
	}
	if err := b.coldStart(time.Since(begin)); err != nil {
		return err
	}
	b.fleet = sidecar.NewFleet(b.nodes(b.sizes.Proxies), b.fleetOptions(address[0]))
	return b.awaitRemotes(waiting, address[0])
}

func (b *bench) fleetOptions(address string) sidecar.Options {
	return sidecar.Options{Address: address, WorldState: b.world, Names: b.names}
}

// nodes are the first n sidecars.
func (b *bench) nodes(n int) []*corev3.Node {
	nodes := make([]*corev3.Node, n)
	for i := range nodes {
		p := b.sizes.ProxyPod(i)
		nodes[i] = sidecar.Node(sidecar.Facts{
			Pod: p.Name, Namespace: p.Service.Namespace, ServiceAccount: p.Service.Name, Address: p.Address.String(),
			Cluster: clusterNames[0], Region: synthetic.Region, Zone: synthetic.Zone(p.Node), Labels: p.Labels(),
		})
	}
	return nodes
}

// awaitRemotes waits until a sidecar of its own sees the last endpoint of every other cluster: what istiod does before
// that belongs to no scenario.
func (b *bench) awaitRemotes(ctx context.Context, address string) error {
	if b.sizes.Clusters == 1 {
		return nil
	}
	scout := sidecar.NewFleet(b.nodes(1), b.fleetOptions(address))
	defer scout.Disconnect()
	var changes []*sidecar.Change
	for i := 1; i < b.sizes.Clusters; i++ {
		last := b.sizes.Pod(i+1, b.sizes.Services-1, b.sizes.Endpoints-1)
		c := sidecar.NewChange(endpointSign(last))
		c.Begin()
		changes = append(changes, c)
	}
	scout.Expect(changes...)
	if _, err := scout.Connect(ctx); err != nil {
		return err
	}
	for i, c := range changes {
		select {
		case <-c.Done():
		case <-ctx.Done():
			return fmt.Errorf("wait for endpoints of %s: %w", clusterNames[i+1], ctx.Err())
		}
	}
	return nil
}

// endpointSign is how a sidecar knows that a pod is behind its service.
func endpointSign(p synthetic.Pod) sidecar.Sign {
	return sidecar.Sign{Type: sidecar.Endpoints, Name: p.Service.Upstream(), Text: p.Address.String()}
}

func get(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}
