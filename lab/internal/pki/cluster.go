package pki

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

// Users that the lab's own daemons and commands are, in every cluster.
const (
	Admin           = "isthmus-lab-admin"
	CloudController = "isthmus-lab-cloud-controller"
	// KubeletClient is who the API server is when it calls a kubelet.
	KubeletClient = "kube-apiserver-kubelet-client"
)

// Cluster is all keys and certificates of one cluster. The names of the pairs are those of their files.
type Cluster struct {
	CA    Pair
	Pairs map[string]Pair
}

// Names of pairs that others refer to.
const (
	ClusterCA      = "ca"
	FrontProxyCA   = "front-proxy-ca"
	ServiceAccount = "service-account"
	AdminPair      = "admin"
)

// KubeletPair and KubeletServerPair are the names of a node's pairs.
func KubeletPair(n plan.Node) string { return "kubelet-" + n.Short() }

// KubeletServerPair is the name of the pair that the node's kubelet serves with.
func KubeletServerPair(n plan.Node) string { return "kubelet-server-" + n.Short() }

// NewCluster makes the keys and certificates of a cluster.
func NewCluster(c plan.Cluster, now time.Time) (Cluster, error) {
	authority, err := NewAuthority("kubernetes-"+c.Name, now)
	if err != nil {
		return Cluster{}, err
	}
	frontProxy, err := NewAuthority("front-proxy-"+c.Name, now)
	if err != nil {
		return Cluster{}, err
	}
	serviceAccount, err := NewServiceAccountKey()
	if err != nil {
		return Cluster{}, err
	}
	made := Cluster{CA: authority.Pair, Pairs: map[string]Pair{
		ClusterCA: authority.Pair, FrontProxyCA: frontProxy.Pair, ServiceAccount: serviceAccount,
	}}
	for _, want := range wanted(c, authority, frontProxy) {
		pair, err := want.issue()
		if err != nil {
			return Cluster{}, fmt.Errorf("certificate %s of %s: %w", want.name, c.Name, err)
		}
		made.Pairs[want.name] = pair
	}
	return made, nil
}

type certificate struct {
	name  string
	issue func() (Pair, error)
}

func wanted(c plan.Cluster, authority, frontProxy *Authority) []certificate {
	client := func(name, user string, groups ...string) certificate {
		return certificate{name, func() (Pair, error) { return authority.Client(user, groups...) }}
	}
	certificates := []certificate{
		{"kube-apiserver", func() (Pair, error) {
			return authority.Server("kube-apiserver", apiServerNames(c), apiServerAddresses(c))
		}},
		{"front-proxy-client", func() (Pair, error) { return frontProxy.Client("front-proxy-client") }},
		client(KubeletClient, KubeletClient),
		client("kube-controller-manager", "system:kube-controller-manager"),
		client("kube-scheduler", "system:kube-scheduler"),
		client("kube-proxy", "system:kube-proxy"),
		client("cloud-controller", CloudController),
		client(AdminPair, Admin, "system:masters"),
	}
	for _, n := range c.Nodes {
		certificates = append(certificates,
			client(KubeletPair(n), "system:node:"+n.Name, "system:nodes"),
			certificate{KubeletServerPair(n), func() (Pair, error) {
				return authority.Server(n.Name, []string{n.Name}, []netip.Addr{n.Address})
			}})
	}
	return certificates
}

func apiServerNames(c plan.Cluster) []string {
	return []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		"localhost", c.Nodes[0].Name,
	}
}

func apiServerAddresses(c plan.Cluster) []netip.Addr {
	return []netip.Addr{c.Nodes[0].Address, c.KubernetesService(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}
}
