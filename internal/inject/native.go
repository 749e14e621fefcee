package inject

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

// nativeSince is the first kubelet whose restartable init containers are stable.
// https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
var nativeSince = version.MajorMinor(1, 33)

// NativeSidecars tells whether the proxy may be a restartable init container: every node's kubelet must know them, as
// at admission nobody knows where the pod will land. Without nodes, or with one of unreadable version, it is false:
// the classic form works everywhere.
func NativeSidecars(nodes []*corev1.Node) bool {
	for _, node := range nodes {
		kubelet, err := version.ParseGeneric(node.Status.NodeInfo.KubeletVersion)
		if err != nil || kubelet.LessThan(nativeSince) {
			return false
		}
	}
	return len(nodes) > 0
}
