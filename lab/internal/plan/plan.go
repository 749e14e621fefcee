// Package plan works out everything about a lab that follows from its name, size and address range: clusters, nodes, networks, zones,
// addresses and the names of what is made on the host. All other packages of the lab read it. It is pure: it looks at nothing and makes nothing.
package plan

import (
	"fmt"
	"net/netip"
	"regexp"
)

// Limits of one lab. A lab is a /16, cut so that these always fit.
const (
	MaxClusters = 9
	MaxNodes    = 9
)

// Request is what a user asks of `lab up`.
type Request struct {
	Name     string
	Clusters int
	Nodes    int // of each cluster
	Networks int // clusters are dealt to networks in turn
}

// Lab is one lab, complete: a value of this type made by New is valid.
type Lab struct {
	Name     string       `json:"name"`
	Range    netip.Prefix `json:"range"`
	Networks int          `json:"networks"`
	Clusters []Cluster    `json:"clusters"`
}

// Cluster is one Kubernetes cluster of a lab. Its first node carries the control plane.
type Cluster struct {
	Name          string       `json:"name"`
	Index         int          `json:"index"` // from 1
	Network       string       `json:"network"`
	Region        string       `json:"region"`
	Nodes         []Node       `json:"nodes"`
	Pods          netip.Prefix `json:"pods"`
	Services      netip.Prefix `json:"services"`
	LoadBalancers netip.Prefix `json:"loadBalancers"`
}

// Node is one Kubernetes node: a set of namespaces on the host.
type Node struct {
	Name    string       `json:"name"`
	Index   int          `json:"index"` // from 1, within its cluster
	Cluster int          `json:"cluster"`
	Address netip.Addr   `json:"address"`
	Zone    string       `json:"zone"`
	Pods    netip.Prefix `json:"pods"` // the node's part of its cluster's pod range
}

// Interfaces have at most 15 characters, so a lab's name has at most 8: "il-" + name + "-9-9".
// It has no hyphen, so that no lab's interfaces can be taken for those of another whose name starts alike.
var validName = regexp.MustCompile(`^[a-z][a-z0-9]{0,7}$`)

// CheckName returns an error if name cannot be a lab's name.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("lab name %q: use 1 to 8 lower-case letters and digits, with a letter first", name)
	}
	return nil
}

// Check returns an error that names what is wrong with the request and what is allowed.
func (r Request) Check() error {
	if err := CheckName(r.Name); err != nil {
		return err
	}
	if r.Clusters < 1 || r.Clusters > MaxClusters {
		return fmt.Errorf("%d clusters: a lab has 1 to %d", r.Clusters, MaxClusters)
	}
	if r.Nodes < 1 || r.Nodes > MaxNodes {
		return fmt.Errorf("%d nodes a cluster: a cluster has 1 to %d", r.Nodes, MaxNodes)
	}
	if r.Networks < 1 || r.Networks > r.Clusters {
		return fmt.Errorf("%d networks for %d clusters: every network needs a cluster, so use 1 to %d", r.Networks, r.Clusters, r.Clusters)
	}
	return nil
}

// CheckRange returns an error unless r is a whole IPv4 /16.
func CheckRange(r netip.Prefix) error {
	if !r.IsValid() || !r.Addr().Is4() || r.Bits() != 16 || r != r.Masked() {
		return fmt.Errorf("address range %s: use a whole IPv4 /16, such as 10.90.0.0/16", r)
	}
	return nil
}

// New plans a lab in the /16 range. Of the range a.b.0.0/16,
//
//	a.b.0.0/24       is for nodes: .1 is the host, .(16c+n) is node n of cluster c
//	a.b.c.0/24       is for the LoadBalancer addresses of cluster c
//	a.b.(16c).0/20   is for the pods of cluster c, a /24 a node
//	a.b.(160+8c).0/21 is for the Services of cluster c
func New(r Request, addressRange netip.Prefix) (Lab, error) {
	if err := r.Check(); err != nil {
		return Lab{}, err
	}
	if err := CheckRange(addressRange); err != nil {
		return Lab{}, err
	}
	lab := Lab{Name: r.Name, Range: addressRange, Networks: r.Networks}
	for c := 1; c <= r.Clusters; c++ {
		lab.Clusters = append(lab.Clusters, newCluster(addressRange, r, c))
	}
	return lab, nil
}

func newCluster(within netip.Prefix, r Request, c int) Cluster {
	cluster := Cluster{
		Name:          fmt.Sprintf("cluster%d", c),
		Index:         c,
		Network:       fmt.Sprintf("network%d", (c-1)%r.Networks+1),
		Region:        fmt.Sprintf("region%d", c),
		Pods:          netip.PrefixFrom(at(within, 16*c, 0), 20),
		Services:      netip.PrefixFrom(at(within, 160+8*c, 0), 21),
		LoadBalancers: netip.PrefixFrom(at(within, c, 0), 24),
	}
	for n := 1; n <= r.Nodes; n++ {
		cluster.Nodes = append(cluster.Nodes, Node{
			Name:    fmt.Sprintf("%s-node%d", cluster.Name, n),
			Index:   n,
			Cluster: c,
			Address: at(within, 0, 16*c+n),
			Zone:    fmt.Sprintf("%s-%c", cluster.Region, 'a'+n-1),
			Pods:    netip.PrefixFrom(at(within, 16*c+n, 0), 24),
		})
	}
	return cluster
}

// at is the address a.b.third.fourth of the range a.b.0.0/16.
func at(within netip.Prefix, third, fourth int) netip.Addr {
	a := within.Addr().As4()
	return netip.AddrFrom4([4]byte{a[0], a[1], byte(third), byte(fourth)})
}

// Host is the host's own address in the lab's range.
func (l Lab) Host() netip.Addr { return at(l.Range, 0, 1) }

// NodeRange is the range that the host and all nodes have their addresses in.
func (l Lab) NodeRange() netip.Prefix { return netip.PrefixFrom(at(l.Range, 0, 0), 24) }

// Cluster returns the cluster of that name, or an error that lists the names there are.
func (l Lab) Cluster(name string) (Cluster, error) {
	var names []string
	for _, c := range l.Clusters {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return Cluster{}, fmt.Errorf("lab %s has no cluster %q, it has %v", l.Name, name, names)
}

// Node returns the node of that name, the one of that number if name is a number, or the first one if name is empty.
func (c Cluster) Node(name string) (Node, error) {
	if name == "" {
		return c.Nodes[0], nil
	}
	var names []string
	for _, n := range c.Nodes {
		if n.Name == name || fmt.Sprint(n.Index) == name || fmt.Sprintf("node%d", n.Index) == name {
			return n, nil
		}
		names = append(names, n.Name)
	}
	return Node{}, fmt.Errorf("%s has no node %q, it has %v", c.Name, name, names)
}

// Nodes are all nodes of all clusters.
func (l Lab) Nodes() []Node {
	var nodes []Node
	for _, c := range l.Clusters {
		nodes = append(nodes, c.Nodes...)
	}
	return nodes
}

// APIServer is the URL of the cluster's API server, the same from pods, nodes, other clusters and the host.
func (c Cluster) APIServer() string { return fmt.Sprintf("https://%s:6443", c.Nodes[0].Address) }

// KubernetesService is the address of the Service kubernetes.default.
func (c Cluster) KubernetesService() netip.Addr { return c.Services.Addr().Next() }

// DNSService is the address of the Service kube-system/kube-dns.
func (c Cluster) DNSService() netip.Addr {
	a := c.Services.Addr().As4()
	a[3] = 10
	return netip.AddrFrom4(a)
}

// ControlPlane tells whether the node runs its cluster's API server.
func (n Node) ControlPlane() bool { return n.Index == 1 }

// Short is the node's name within its lab in as few characters as possible, as used in paths.
func (n Node) Short() string { return fmt.Sprintf("c%dn%d", n.Cluster, n.Index) }
