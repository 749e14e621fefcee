package lab

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/isthmus-mesh/isthmus/lab/internal/cgroup"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

// Report is how a lab is. Its JSON is what `lab status -o json` prints: scripts rely on the names.
type Report struct {
	Name       string          `json:"name"`
	Clusters   []ClusterReport `json:"clusters"`
	Kubeconfig string          `json:"kubeconfig"` // a file
	MemoryMiB  uint64          `json:"memoryMiB"`
}

// ClusterReport is how a cluster is.
type ClusterReport struct {
	Name              string       `json:"name"`
	Network           string       `json:"network"`
	APIServer         string       `json:"apiServer"`
	Ready             bool         `json:"ready"`
	Reason            string       `json:"reason,omitempty"` // why it is not ready
	Nodes             []NodeReport `json:"nodes"`
	PodCIDR           string       `json:"podCIDR"`
	ServiceCIDR       string       `json:"serviceCIDR"`
	LoadBalancerRange string       `json:"loadBalancerRange"`
}

// NodeReport is how a node is.
type NodeReport struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Region  string `json:"region"`
	Zone    string `json:"zone"`
	Ready   bool   `json:"ready"`
}

// Ready tells whether all clusters are.
func (r Report) Ready() bool {
	for _, c := range r.Clusters {
		if !c.Ready {
			return false
		}
	}
	return true
}

// Examine asks all clusters of the lab how they are.
func Examine(ctx context.Context, store Store, state State) (Report, error) {
	hierarchies, err := cgroup.Hierarchies()
	if err != nil {
		return Report{}, err
	}
	report := Report{
		Name:       state.Plan.Name,
		Kubeconfig: store.Kubeconfig(state.Plan.Name),
		Clusters:   make([]ClusterReport, len(state.Plan.Clusters)),
	}
	// A lab that does not run uses no memory.
	if bytes, err := cgroup.Memory(hierarchies, plan.Cgroup(state.Plan.Name)); err == nil {
		report.MemoryMiB = bytes >> 20
	}
	var all sync.WaitGroup
	for i, c := range state.Plan.Clusters {
		all.Go(func() { report.Clusters[i] = examineCluster(ctx, report, c, hierarchies) })
	}
	all.Wait()
	return report, nil
}

func examineCluster(ctx context.Context, lab Report, c plan.Cluster, hierarchies []cgroup.Hierarchy) ClusterReport {
	report := ClusterReport{
		Name: c.Name, Network: c.Network, APIServer: c.APIServer(),
		PodCIDR: c.Pods.String(), ServiceCIDR: c.Services.String(), LoadBalancerRange: c.LoadBalancers.String(),
	}
	ready, err := ask(ctx, lab, c, hierarchies)
	if err != nil {
		report.Reason = err.Error()
	}
	for _, n := range c.Nodes {
		report.Nodes = append(report.Nodes, NodeReport{
			Name: n.Name, Address: n.Address.String(), Region: c.Region, Zone: n.Zone, Ready: ready[n.Name],
		})
		if !ready[n.Name] && report.Reason == "" {
			report.Reason = "node " + n.Name + " is not ready"
		}
	}
	report.Ready = report.Reason == ""
	return report
}

// silence is how long a kubelet may say nothing; it shows a sign of life every ten seconds.
const silence = 40 * time.Second

// ask returns the names of the cluster's nodes that are ready.
func ask(ctx context.Context, lab Report, c plan.Cluster, hierarchies []cgroup.Hierarchy) (map[string]bool, error) {
	for _, n := range c.Nodes {
		if _, err := Supervisor(hierarchies, lab.Name, n); err != nil {
			return nil, err
		}
	}
	config, err := restConfig(lab.Kubeconfig, c.Name)
	if err != nil {
		return nil, err
	}
	config.Timeout = 3 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return readyNodes(ctx, client, time.Now().Add(-silence))
}
