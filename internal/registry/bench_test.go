package registry_test

import (
	"fmt"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// BenchmarkOneEndpoint is one endpoint that comes and goes among 1,000 services with 5 endpoints each in two clusters:
// the event and the snapshot after it.
func BenchmarkOneEndpoint(b *testing.B) {
	for _, layout := range []struct {
		name         string
		perNamespace int
	}{{"50-namespaces", 20}, {"one-namespace", 1000}} {
		b.Run(layout.name, func(b *testing.B) {
			clusters := []*registry.Objects{layoutOf(1, layout.perNamespace), layoutOf(2, layout.perNamespace)}
			s := registry.Build(nil, clusters, mesh())
			extra := slice("s7", "extra", pod("s7-0", "10.200.0.1", "node1"))
			extra.Namespace = "ns0"
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				was := s
				if i%2 == 0 {
					clusters[1] = clusters[1].With(extra)
				} else {
					clusters[1] = clusters[1].Without(extra.Key())
				}
				if s = registry.Build(s, clusters, s.Mesh); s == was {
					b.Fatal("nothing changed")
				}
			}
		})
	}
}

// BenchmarkFromNothing is the first snapshot of the same mesh.
func BenchmarkFromNothing(b *testing.B) {
	clusters := []*registry.Objects{layoutOf(1, 20), layoutOf(2, 20)}
	m := mesh()
	b.ReportAllocs()
	for b.Loop() {
		registry.Build(nil, clusters, m)
	}
}

// layoutOf is a cluster of 1,000 services with 5 pods each.
func layoutOf(cluster, perNamespace int) *registry.Objects {
	o := registry.NewObjects(model.Cluster(fmt.Sprintf("cluster%d", cluster)), node("node1", "z1"))
	for i := range 1000 {
		o = o.With(serviceWithPods(cluster, fmt.Sprintf("ns%d", i/perNamespace), i, 5)...)
	}
	return o
}
