package config

import (
	"fmt"
	"path/filepath"

	"github.com/isthmus-mesh/isthmus/lab/internal/pki"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

// PauseImage is the image of every pod's first container. The lab makes it.
const PauseImage = "lab.isthmus.io/pause:1"

func containerdConfig(places Places, dir string) string {
	return fmt.Sprintf(`version = 3
root = %[1]q
state = %[2]q
# They make folders of their own on the host, and nothing in a lab needs them.
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing"]
[grpc]
address = %[3]q
[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = %[4]q
[plugins."io.containerd.cri.v1.runtime"]
# A host without CAP_SYS_RESOURCE cannot lower a score.
restrict_oom_score_adj = true
# Else they would be on the host's /run/netns and outlive the node.
netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [%[5]q]
conf_dir = %[6]q
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = %[7]q
SystemdCgroup = false
`, ContainerdDir, ContainerdRunDir, ContainerdSocket, PauseImage, places.Bin, filepath.Join(dir, "cni"), filepath.Join(places.Bin, "runc"))
}

func cniConfig(n plan.Node) string {
	return fmt.Sprintf(`{
  "cniVersion": "1.0.0",
  "name": "lab",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/containerd/cni-addresses",
        "ranges": [[{"subnet": "%s"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": true}}
  ]
}
`, n.Pods)
}

func kubeletConfig(lab plan.Lab, c plan.Cluster, n plan.Node, places Places) string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true, cacheTTL: 30s}
  x509: {clientCAFile: %[2]s}
authorization: {mode: Webhook}
tlsCertFile: %[3]s
tlsPrivateKeyFile: %[4]s
clusterDomain: cluster.local
clusterDNS: [%[5]s]
resolvConf: %[6]s
containerRuntimeEndpoint: unix://%[7]s
# Two kubelets on one kernel with the same root would end each other's pods.
cgroupRoot: /%[8]s
cgroupDriver: cgroupfs
cgroupsPerQOS: true
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
maxPods: 110
# Disk space is the host's affair, and an image that is gone could not be had again: nothing is evicted, nothing collected.
evictionHard: {}
imageGCHighThresholdPercent: 100
makeIPTablesUtilChains: false
volumePluginDir: %[9]s/volume-plugins
containerLogMaxSize: 20Mi
logging: {verbosity: 1}
`, n.Address, places.cert(c, pki.ClusterCA), places.cert(c, pki.KubeletServerPair(n)), places.key(c, pki.KubeletServerPair(n)),
		c.DNSService(), filepath.Join(places.NodeDir(n), "resolv.conf"), ContainerdSocket, plan.NodeCgroup(lab.Name, n), KubeletDir)
}

func kubeProxyConfig(c plan.Cluster, n plan.Node, places Places) string {
	return fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: %s}
clusterCIDR: %s
detectLocalMode: ClusterCIDR
bindAddress: 0.0.0.0
healthzBindAddress: %s:10256
metricsBindAddress: 127.0.0.1:10249
nftables: {minSyncPeriod: 100ms}
# The table of connections is the host's; a namespace cannot size it.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`, places.Kubeconfig(c, "kube-proxy"), c.Pods, n.Address)
}
