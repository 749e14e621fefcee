// Package config renders what the components of a node are started with: command lines, files, and what each waits for. It is pure:
// plan in, text out. The package node runs it, tests read it.
package config

import (
	"path/filepath"

	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

// Paths of a node's own mount namespace. They are the ones that every Kubernetes node has; behind them lies the lab's folder.
const (
	KubeletDir       = "/var/lib/kubelet"
	ContainerdDir    = "/var/lib/containerd"
	ContainerdRunDir = "/run/containerd"
	ContainerdSocket = ContainerdRunDir + "/containerd.sock"
	LogDir           = "/var/log"
)

// Node is everything that the supervisor of one node has to know. It is stored as JSON.
type Node struct {
	Lab        string            `json:"lab"`
	Node       plan.Node         `json:"node"`
	Cgroup     string            `json:"cgroup"`
	Dir        string            `json:"dir"`        // the node's folder
	Bin        string            `json:"bin"`        // the folder of the components' binaries
	Binds      []Bind            `json:"binds"`      // made in the node's mount namespace
	Routes     []Route           `json:"routes"`     // beside the one to the node range
	HostRange  string            `json:"hostRange"`  // the node's address with the length of the node range
	Firewall   string            `json:"firewall"`   // nft script
	Components []Component       `json:"components"` // in the order of starting
	Sysctls    []Sysctl          `json:"sysctls"`    // of the node's network namespace
	Files      map[string]string `json:"-"`          // absolute path to content, written before the node starts
}

// Bind shows the lab's folder Source as Target inside of the node.
type Bind struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

// Route leads To to the node that has the address Via, or to the link itself when Via is empty.
type Route struct {
	To  string `json:"to"`
	Via string `json:"via,omitempty"`
}

// Sysctl is one kernel setting, by its path below /proc/sys.
type Sysctl struct {
	Path  string `json:"path"`
	Value string `json:"value"`
}

// Component is one daemon.
type Component struct {
	Name  string   `json:"name"`
	Args  []string `json:"args"` // the first is the program
	After []Wait   `json:"after,omitempty"`
}

// Wait is a condition for a component's start; exactly one field is set but for CA, which belongs to Ready.
type Wait struct {
	Socket string `json:"socket,omitempty"` // a Unix socket that takes connections
	TCP    string `json:"tcp,omitempty"`    // host:port that takes connections
	Ready  string `json:"ready,omitempty"`  // URL that answers 200
	CA     string `json:"ca,omitempty"`     // file with the authority of Ready's certificate
}

// Places says where on the host the things are that a node's configuration refers to.
type Places struct {
	Lab  string // the lab's folder
	Bin  string // the folder of the components' binaries
	Self string // the lab's own binary
}

// NodeDir is the folder of a node.
func (p Places) NodeDir(n plan.Node) string { return filepath.Join(p.Lab, n.Short()) }

// PKIDir is the folder of a cluster's keys and certificates.
func (p Places) PKIDir(c plan.Cluster) string { return filepath.Join(p.Lab, c.Name) }

// Kubeconfig is the file with which the component called name of the cluster calls the API server.
func (p Places) Kubeconfig(c plan.Cluster, name string) string {
	return filepath.Join(p.PKIDir(c), name+".kubeconfig")
}

// ForNode renders the whole configuration of one node.
func ForNode(lab plan.Lab, c plan.Cluster, n plan.Node, places Places) Node {
	dir := places.NodeDir(n)
	spec := Node{
		Lab:       lab.Name,
		Node:      n,
		Cgroup:    plan.NodeCgroup(lab.Name, n),
		Dir:       dir,
		Bin:       places.Bin,
		HostRange: hostRange(lab, n),
		Routes:    routes(lab, c, n),
		Firewall:  Firewall(lab, c, n),
		Sysctls:   sysctls(),
		Binds: []Bind{
			{filepath.Join(dir, "kubelet"), KubeletDir},
			{filepath.Join(dir, "containerd"), ContainerdDir},
			{filepath.Join(dir, "log"), LogDir},
		},
		Files: map[string]string{
			filepath.Join(dir, "containerd.toml"):        containerdConfig(places, dir),
			filepath.Join(dir, "cni", "10-lab.conflist"): cniConfig(n),
			filepath.Join(dir, "kubelet.yaml"):           kubeletConfig(lab, c, n, places),
			filepath.Join(dir, "kube-proxy.yaml"):        kubeProxyConfig(c, n, places),
			filepath.Join(dir, "resolv.conf"):            "# A lab has no name server outside of its clusters.\n",
		},
	}
	if n.ControlPlane() {
		spec.Components = append(spec.Components, controlPlane(c, places)...)
	}
	spec.Components = append(spec.Components, worker(c, n, places)...)
	return spec
}
