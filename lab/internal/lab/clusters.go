package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/isthmus-mesh/isthmus/lab/internal/addons"
	"github.com/isthmus-mesh/isthmus/lab/internal/cgroup"
	"github.com/isthmus-mesh/isthmus/lab/internal/config"
	"github.com/isthmus-mesh/isthmus/lab/internal/node"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
	"github.com/isthmus-mesh/isthmus/lab/internal/progress"
)

// startAll starts the clusters side by side and returns when all are ready.
func (u Up) startAll(
	ctx context.Context, lab plan.Lab, clusters []plan.Cluster, places config.Places, hierarchies []cgroup.Hierarchy,
) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range clusters {
		group.Go(func() error {
			run := clusterStart{up: u, lab: lab, cluster: c, places: places, hierarchies: hierarchies, began: time.Now()}
			if err := run.run(ctx); err != nil {
				if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
					err = cause
				}
				return fmt.Errorf("%s: %w%s", c.Name, err, run.lastWords())
			}
			return nil
		})
	}
	return group.Wait()
}

// clusterStart is the start of one cluster.
type clusterStart struct {
	up          Up
	lab         plan.Lab
	cluster     plan.Cluster
	places      config.Places
	hierarchies []cgroup.Hierarchy
	began       time.Time
}

func (s clusterStart) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range s.cluster.Nodes {
		spec := config.ForNode(s.lab, s.cluster, n, s.places)
		pid, err := node.Start(spec, s.up.Self, s.hierarchies)
		if err != nil {
			return err
		}
		group.Go(func() error { return importImages(ctx, s.up.Bin, pid, s.up.Images) })
	}
	group.Go(func() error { return s.awaitReady(ctx) })
	return group.Wait()
}

// awaitReady sees the cluster through its start.
func (s clusterStart) awaitReady(ctx context.Context) error {
	rest, err := restConfig(s.up.Store.Kubeconfig(s.lab.Name), s.cluster.Name)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	err = poll(ctx, func() bool {
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err == nil
	})
	if err != nil {
		return fmt.Errorf("wait for the API server: %w", err)
	}
	s.say("API server ready")
	if err := s.addAddons(ctx, rest); err != nil {
		return err
	}
	if err := poll(ctx, func() bool { return s.nodesReady(ctx, client) }); err != nil {
		return fmt.Errorf("wait for the nodes: %w", err)
	}
	s.say("%s Ready", count(len(s.cluster.Nodes), "node"))
	if err := poll(ctx, func() bool { return dnsReady(ctx, client, s.began) }); err != nil {
		return fmt.Errorf("wait for DNS: %w", err)
	}
	s.say("DNS ready")
	return nil
}

func (s clusterStart) say(format string, args ...any) {
	s.up.Say.Say("  %s: %s after %s", s.cluster.Name, fmt.Sprintf(format, args...), progress.Round(time.Since(s.began)))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (s clusterStart) addAddons(ctx context.Context, rest *rest.Config) error {
	client, err := dynamic.NewForConfig(rest)
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	objects, err := addons.Render(s.cluster)
	if err != nil {
		return err
	}
	// An API server that is ready may still refuse the first writes, while its namespaces are made.
	var last error
	err = poll(ctx, func() bool {
		last = addons.Apply(ctx, client, objects)
		return last == nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

func (s clusterStart) nodesReady(ctx context.Context, client kubernetes.Interface) bool {
	ready, err := readyNodes(ctx, client, s.began)
	return err == nil && len(ready) == len(s.cluster.Nodes)
}

// readyNodes are the names of the nodes that are ready, and whose kubelet has shown a sign of life since then: what is
// written about a node stays when the node is gone.
func readyNodes(ctx context.Context, client kubernetes.Interface, since time.Time) (map[string]bool, error) {
	leases, err := client.CoordinationV1().Leases(core.NamespaceNodeLease).List(ctx, meta.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask for signs of life: %w", err)
	}
	alive := map[string]bool{}
	for _, lease := range leases.Items {
		alive[lease.Name] = lease.Spec.RenewTime != nil && lease.Spec.RenewTime.After(since)
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, meta.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask for nodes: %w", err)
	}
	ready := map[string]bool{}
	for _, n := range nodes.Items {
		for _, condition := range n.Status.Conditions {
			if condition.Type == core.NodeReady && condition.Status == core.ConditionTrue && alive[n.Name] {
				ready[n.Name] = true
			}
		}
	}
	return ready, nil
}

// dnsReady tells whether a pod of cluster DNS is ready that was started since then; those of before a restart are only written about.
func dnsReady(ctx context.Context, client kubernetes.Interface, since time.Time) bool {
	pods, err := client.CoreV1().Pods("kube-system").List(ctx, meta.ListOptions{LabelSelector: "k8s-app=kube-dns"})
	if err != nil {
		return false
	}
	for _, pod := range pods.Items {
		for _, status := range pod.Status.ContainerStatuses {
			// Kubernetes writes whole seconds.
			if running := status.State.Running; status.Ready && running != nil && !running.StartedAt.Time.Before(since.Truncate(time.Second)) {
				return true
			}
		}
	}
	return false
}

// poll calls done every few milliseconds until it holds. Its error is the context's.
func poll(ctx context.Context, done func() bool) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

// restConfig is for calls to one cluster of a lab. The lab's own calls are few, so they are not throttled.
func restConfig(kubeconfig, cluster string) (*rest.Config, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}, &clientcmd.ConfigOverrides{CurrentContext: cluster}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", kubeconfig, err)
	}
	config.QPS = -1
	config.Timeout = 10 * time.Second
	return config, nil
}

// lastWords are the ends of the logs of a cluster that did not start.
func (s clusterStart) lastWords() string {
	var words strings.Builder
	for _, n := range s.cluster.Nodes {
		logs, _ := filepath.Glob(filepath.Join(s.places.NodeDir(n), "log", "*.log")) // the pattern is valid
		for _, file := range logs {
			data, err := os.ReadFile(file)
			if err != nil || len(data) == 0 {
				continue
			}
			lines := strings.Split(strings.TrimSpace(string(data)), "\n")
			fmt.Fprintf(&words, "\n--- %s on %s ends with\n%s", strings.TrimSuffix(filepath.Base(file), ".log"), n.Name,
				strings.Join(lines[max(0, len(lines)-3):], "\n"))
		}
	}
	return words.String()
}
