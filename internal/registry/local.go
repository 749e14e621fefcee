package registry

import (
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// clusterLocal says whether only endpoints of a proxy's own cluster serve a host. The most specific setting decides: an
// exact host before a wildcard, a longer wildcard before a shorter one, and the mesh's settings before built-in ones.
// The API server, the system's own services and the control plane are never those of another cluster by default.
func (b *builder) clusterLocal(host model.Hostname) bool {
	settings := slices.Concat([]model.HostSetting{
		{Host: "*.kube-system.svc." + b.mesh.Domain, ClusterLocal: true},
		{Host: "kubernetes.default.svc." + b.mesh.Domain, ClusterLocal: true},
		{Host: "istiod." + b.mesh.RootNamespace + ".svc." + b.mesh.Domain, ClusterLocal: true},
	}, b.mesh.ClusterLocal)
	local, best := false, -1
	for _, s := range settings {
		if weight := matchWeight(s.Host, string(host)); weight >= best && weight >= 0 {
			local, best = s.ClusterLocal, weight
		}
	}
	return local
}

// matchWeight is greater the more specific a match is, and negative when there is none.
func matchWeight(pattern, host string) int {
	if pattern == host {
		return 1 << 16 // host names are shorter
	}
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok && strings.HasSuffix(host, suffix) {
		return len(suffix)
	}
	return -1
}
