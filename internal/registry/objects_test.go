package registry_test

import (
	"fmt"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/registry"
)

func TestEqualObjectsKeepTheirPointer(t *testing.T) {
	t.Parallel()
	o := cart(1, 0)
	if o.With(service("cart", 0), pod("a", "10.1.0.1", "node1")) != o {
		t.Error("equal objects gave new Objects")
	}
	if o.Without(registry.Key{Kind: registry.KindPod, Namespace: "shop", Name: "none"}) != o {
		t.Error("removing what is not there gave new Objects")
	}
	if o.Replace(registry.KindPod, []registry.Object{pod("a", "10.1.0.1", "node1"), pod("b", "10.1.0.2", "node1")}) != o {
		t.Error("replacing by equal objects gave new Objects")
	}
}

func TestReplaceLeavesExactlyTheGivenOnes(t *testing.T) {
	t.Parallel()
	before := cart(1, 0)
	after := before.Replace(registry.KindPod, []registry.Object{pod("a", "10.1.0.1", "node1"), pod("c", "10.1.0.3", "node1")})
	got := map[string]bool{}
	for p := range after.All(registry.KindPod) {
		got[p.Key().Name] = true
	}
	if len(got) != 2 || !got["a"] || !got["c"] {
		t.Errorf("pods = %v, want a and c", got)
	}
	if before.Count(registry.KindPod) != 2 || after.Count(registry.KindService) != 1 {
		t.Error("something else changed")
	}
}

func TestObjectsHoldThousandsAndForgetThem(t *testing.T) {
	t.Parallel()
	const n = 3000
	o := registry.NewObjects("cluster1")
	versions := []*registry.Objects{o}
	for i := range n {
		o = o.With(pod(fmt.Sprint(i), "10.1.0.1", ""))
		versions = append(versions, o)
	}
	for i, v := range versions {
		if got := v.Count(registry.KindPod); got != i {
			t.Fatalf("version %d holds %d pods", i, got)
		}
	}
	for i := range n {
		o = o.Without(pod(fmt.Sprint(i), "10.1.0.1", "").Key())
		if got := o.Count(registry.KindPod); got != n-1-i {
			t.Fatalf("%d pods after removing %d of %d", got, i+1, n)
		}
	}
	if len(registry.Build(nil, []*registry.Objects{o}, mesh()).Namespaces) != 0 {
		t.Error("empty objects leave a namespace")
	}
}
