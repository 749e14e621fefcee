package cloud

import (
	"net/netip"
	"testing"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

var within = netip.MustParsePrefix("10.80.1.0/29") // six usable addresses

func service(name, uid string, ingress ...string) *core.Service {
	s := &core.Service{
		ObjectMeta: meta.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(uid)},
		Spec:       core.ServiceSpec{Type: core.ServiceTypeLoadBalancer},
	}
	for _, ip := range ingress {
		s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, core.LoadBalancerIngress{IP: ip})
	}
	return s
}

func ensure(t *testing.T, p provider, s *core.Service) string {
	t.Helper()
	status, err := p.EnsureLoadBalancer(t.Context(), "cluster1", s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return status.Ingress[0].IP
}

func TestAServiceKeepsItsAddressUntilItIsDeleted(t *testing.T) {
	t.Parallel()
	p := provider{newPool(within)}
	a, b := service("a", "1"), service("b", "2")
	first := ensure(t, p, a)
	if first != "10.80.1.1" {
		t.Errorf("the first address is %s, want 10.80.1.1", first)
	}
	if second := ensure(t, p, b); second != "10.80.1.2" {
		t.Errorf("the second address is %s, want 10.80.1.2", second)
	}
	if again := ensure(t, p, a); again != first {
		t.Errorf("asked again, the address is %s, was %s", again, first)
	}
	if err := p.EnsureLoadBalancerDeleted(t.Context(), "cluster1", a); err != nil {
		t.Fatal(err)
	}
	if _, exists, _ := p.GetLoadBalancer(t.Context(), "cluster1", a); exists {
		t.Error("deleted, and still there")
	}
	if c := ensure(t, p, service("c", "3")); c != first {
		t.Errorf("the next Service got %s, want the freed %s", c, first)
	}
}

func TestAnAddressThatIsAskedForIsGivenIfItIsFree(t *testing.T) {
	t.Parallel()
	p := provider{newPool(within)}
	want := func(name, uid, asks, want string) {
		t.Helper()
		s := service(name, uid)
		s.Spec.LoadBalancerIP = asks
		if got := ensure(t, p, s); got != want {
			t.Errorf("asked for %s, got %s, want %s", asks, got, want)
		}
	}
	want("a", "1", "10.80.1.5", "10.80.1.5")
	want("b", "2", "10.80.1.5", "10.80.1.1") // taken
	want("c", "3", "192.0.2.1", "10.80.1.2") // of another range
	want("d", "4", "10.80.1.7", "10.80.1.3") // the last of the range
	want("e", "5", "not an address", "10.80.1.4")
}

func TestAFullRangeIsAnErrorThatSaysSo(t *testing.T) {
	t.Parallel()
	p := provider{newPool(within)}
	for i := range 6 {
		ensure(t, p, service("s", string(rune('a'+i))))
	}
	if _, err := p.EnsureLoadBalancer(t.Context(), "cluster1", service("one", "more"), nil); err == nil {
		t.Error("a seventh address of six was given")
	}
}

func TestARestartedControllerKnowsWhoHasWhat(t *testing.T) {
	t.Parallel()
	old := service("old", "1", "10.80.1.1")
	other := service("other", "2", "10.80.1.2")
	other.Spec.Type = core.ServiceTypeClusterIP
	addresses := newPool(within)
	if err := remember(t.Context(), fake.NewClientset(old, other), addresses); err != nil {
		t.Fatal(err)
	}
	p := provider{addresses}
	if got := ensure(t, p, service("new", "3")); got != "10.80.1.2" {
		t.Errorf("a new Service got %s, want 10.80.1.2", got)
	}
	if got := ensure(t, p, old); got != "10.80.1.1" {
		t.Errorf("the old Service got %s, want 10.80.1.1", got)
	}
}
