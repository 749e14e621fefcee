package config

import (
	"path/filepath"
	"strings"

	"github.com/isthmus-mesh/isthmus/lab/internal/pki"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

const etcdAddress = "127.0.0.1:2379"

// Components are the names of all daemons that a node can have, as `lab logs` takes them.
func Components() []string {
	return []string{
		"supervisor", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "cloud-controller",
		"containerd", "kubelet", "kube-proxy",
	}
}

// controlPlane is what runs on the first node of a cluster only.
func controlPlane(c plan.Cluster, places Places) []Component {
	return []Component{
		etcd(c, places), kubeAPIServer(c, places), kubeControllerManager(c, places), kubeScheduler(c, places), cloudController(c, places),
	}
}

func etcd(c plan.Cluster, places Places) Component {
	return Component{
		Name: "etcd",
		Args: []string{
			filepath.Join(places.Bin, "etcd"),
			"--name=" + c.Name,
			"--data-dir=" + filepath.Join(places.NodeDir(c.Nodes[0]), "etcd"),
			// Loopback of the node's own namespace: nothing but the node's processes reaches it.
			"--listen-client-urls=http://" + etcdAddress,
			"--advertise-client-urls=http://" + etcdAddress,
			"--listen-peer-urls=http://127.0.0.1:2380",
			"--initial-advertise-peer-urls=http://127.0.0.1:2380",
			"--initial-cluster=" + c.Name + "=http://127.0.0.1:2380",
			// A lab may lose its data when the machine loses power, and starts much faster for it.
			"--unsafe-no-fsync",
			"--snapshot-count=5000",
			"--auto-compaction-retention=30m",
			"--log-level=warn",
		},
	}
}

func kubeAPIServer(c plan.Cluster, places Places) Component {
	return Component{
		Name: "kube-apiserver",
		Args: []string{
			filepath.Join(places.Bin, "kube-apiserver"),
			"--etcd-servers=http://" + etcdAddress,
			"--advertise-address=" + c.Nodes[0].Address.String(),
			"--secure-port=6443",
			"--tls-cert-file=" + places.cert(c, "kube-apiserver"),
			"--tls-private-key-file=" + places.key(c, "kube-apiserver"),
			"--client-ca-file=" + places.cert(c, pki.ClusterCA),
			"--authorization-mode=Node,RBAC",
			"--enable-admission-plugins=NodeRestriction",
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + places.cert(c, pki.ServiceAccount),
			"--service-account-signing-key-file=" + places.key(c, pki.ServiceAccount),
			"--service-cluster-ip-range=" + c.Services.String(),
			"--kubelet-certificate-authority=" + places.cert(c, pki.ClusterCA),
			"--kubelet-client-certificate=" + places.cert(c, pki.KubeletClient),
			"--kubelet-client-key=" + places.key(c, pki.KubeletClient),
			// By name, `kubectl exec` would look the node up in DNS.
			"--kubelet-preferred-address-types=InternalIP",
			"--requestheader-client-ca-file=" + places.cert(c, pki.FrontProxyCA),
			"--requestheader-allowed-names=front-proxy-client",
			"--requestheader-username-headers=X-Remote-User",
			"--requestheader-group-headers=X-Remote-Group",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--proxy-client-cert-file=" + places.cert(c, "front-proxy-client"),
			"--proxy-client-key-file=" + places.key(c, "front-proxy-client"),
			"--allow-privileged",
			"--profiling=false",
		},
		After: []Wait{{TCP: etcdAddress}},
	}
}

func kubeControllerManager(c plan.Cluster, places Places) Component {
	return Component{
		Name: "kube-controller-manager",
		Args: append(places.controller(c, "kube-controller-manager"),
			"--use-service-account-credentials",
			"--service-account-private-key-file="+places.key(c, pki.ServiceAccount),
			"--root-ca-file="+places.cert(c, pki.ClusterCA),
			"--cluster-signing-cert-file="+places.cert(c, pki.ClusterCA),
			"--cluster-signing-key-file="+places.key(c, pki.ClusterCA),
			"--client-ca-file="+places.cert(c, pki.ClusterCA),
			"--requestheader-client-ca-file="+places.cert(c, pki.FrontProxyCA),
			"--cluster-cidr="+c.Pods.String(),
			"--service-cluster-ip-range="+c.Services.String(),
			// The CNI configuration of each node has its part of the range already.
			"--allocate-node-cidrs=false",
			// Its own folder for these would be made on the host.
			"--flex-volume-plugin-dir="+KubeletDir+"/volume-plugins",
			// Endpoints follow pods at once: the mesh's own delays are what people want to see in a lab.
			"--endpointslice-updates-batch-period=0s",
		),
		After: apiServerReady(c, places),
	}
}

func kubeScheduler(c plan.Cluster, places Places) Component {
	return Component{Name: "kube-scheduler", Args: places.controller(c, "kube-scheduler"), After: apiServerReady(c, places)}
}

// controller is the command line of a Kubernetes controller, as far as all have it. There is one of each, so none needs to be elected.
func (p Places) controller(c plan.Cluster, name string) []string {
	kubeconfig := p.Kubeconfig(c, name)
	return []string{
		filepath.Join(p.Bin, name),
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
		"--kube-api-qps=100", "--kube-api-burst=200",
		"--profiling=false",
	}
}

func cloudController(c plan.Cluster, places Places) Component {
	return Component{
		Name: "cloud-controller",
		Args: []string{
			places.Self, "cloud-controller",
			"--kubeconfig=" + places.Kubeconfig(c, "cloud-controller"),
			"--cluster=" + c.Name,
			"--range=" + c.LoadBalancers.String(),
		},
		After: apiServerReady(c, places),
	}
}

// worker is what every node runs.
func worker(c plan.Cluster, n plan.Node, places Places) []Component {
	dir := places.NodeDir(n)
	return []Component{
		{Name: "containerd", Args: []string{
			filepath.Join(places.Bin, "containerd"), "--config", filepath.Join(dir, "containerd.toml"),
		}},
		{
			Name: "kubelet",
			Args: []string{
				filepath.Join(places.Bin, "kubelet"),
				"--config=" + filepath.Join(dir, "kubelet.yaml"),
				"--kubeconfig=" + places.Kubeconfig(c, pki.KubeletPair(n)),
				"--root-dir=" + KubeletDir,
				"--hostname-override=" + n.Name,
				"--node-ip=" + n.Address.String(),
				"--node-labels=" + strings.Join([]string{
					"topology.kubernetes.io/region=" + c.Region,
					"topology.kubernetes.io/zone=" + n.Zone,
				}, ","),
			},
			After: append(apiServerReady(c, places), Wait{Socket: ContainerdSocket}),
		},
		{
			Name: "kube-proxy",
			Args: []string{
				filepath.Join(places.Bin, "kube-proxy"),
				"--config=" + filepath.Join(dir, "kube-proxy.yaml"),
				"--hostname-override=" + n.Name,
			},
			After: apiServerReady(c, places),
		},
	}
}

func apiServerReady(c plan.Cluster, places Places) []Wait {
	return []Wait{{Ready: c.APIServer() + "/readyz", CA: places.cert(c, pki.ClusterCA)}}
}

func (p Places) cert(c plan.Cluster, name string) string {
	return filepath.Join(p.PKIDir(c), name+".crt")
}

func (p Places) key(c plan.Cluster, name string) string {
	return filepath.Join(p.PKIDir(c), name+".key")
}
