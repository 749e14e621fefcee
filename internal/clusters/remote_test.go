package clusters_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/isthmus-mesh/isthmus/internal/clusters"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// two gives the own cluster and one remote, "west", each with an endpoint of the service cart.
func two() (*apiServer, map[string]*apiServer) {
	return newAPIServer(pods("cart", "10.1.0.1")...), map[string]*apiServer{"west": newAPIServer(pods("cart", "10.2.0.1")...)}
}

func TestClusterComesAndGoesWithItsSecret(t *testing.T) {
	t.Parallel()
	own, remotes := two()
	run(t, own, remotes, func(w *world) {
		w.wantAddresses("[10.1.0.1]")
		w.secret("west", "cluster2", "west")
		w.wantAddresses("[10.1.0.1 10.2.0.1]")
		st := w.wantState("cluster2", clusters.Synced, "")
		if st.Secret.Name != "west" || st.Objects[registry.KindPod] != 1 || !st.InUse || st.LastEvent.IsZero() {
			t.Errorf("status = %+v", st)
		}
		if _, ok := w.set.Client("cluster2"); !ok {
			t.Error("no client of cluster2")
		}
		w.deleteSecret("west")
		w.wantAddresses("[10.1.0.1]")
		if _, ok := w.set.Client("cluster2"); ok {
			t.Error("client of cluster2 after it left")
		}
		if remotes["west"].closed != 1 {
			t.Errorf("client freed %d times, want once", remotes["west"].closed)
		}
		w.secret("west", "cluster2", "west")
		w.wantAddresses("[10.1.0.1 10.2.0.1]")
		w.secret("west", "cluster3", "west")
		w.wantAddresses("[10.1.0.1 10.2.0.1]")
		if got := w.status("cluster2"); got.State != 0 {
			t.Errorf("cluster2 is still there after its key left the Secret: %+v", got)
		}
	})
}

func TestEventsOfARemoteClusterArrive(t *testing.T) {
	t.Parallel()
	own, remotes := two()
	run(t, own, remotes, func(w *world) {
		w.secret("west", "cluster2", "west")
		for _, o := range pods("cart2", "10.2.0.9") {
			if err := remotes["west"].Tracker().Add(o); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got := w.addresses("cart2"); got != "[10.2.0.9]" {
			t.Errorf("endpoints = %s", got)
		}
		if err := remotes["west"].CoreV1().Pods("shop").Delete(t.Context(), "cart2-1", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := w.addresses("cart2"); got != "[]" {
			t.Errorf("endpoints after the pod is gone = %s", got)
		}
	})
}

func TestDeadRemoteDoesNotKeepTheOwnClusterFromBeingReady(t *testing.T) {
	t.Parallel()
	own, remotes := two()
	if err := own.Tracker().Add(remoteSecret("west", "cluster2", "west")); err != nil {
		t.Fatal(err)
	}
	remotes["west"].lose(errDown)
	run(t, own, remotes, func(w *world) {
		select {
		case <-w.set.Ready():
		default:
			t.Fatal("not ready at once")
		}
		w.wantAddresses("[10.1.0.1]")
		w.wantState("cluster2", clusters.Connecting, "connection timed out")
		if len(w.last.Missing) != 1 || w.last.Missing[0] != "cluster2" {
			t.Errorf("missing = %v, want cluster2", w.last.Missing)
		}
		remotes["west"].find()
		w.settle(30 * time.Second)
		w.wantAddresses("[10.1.0.1 10.2.0.1]")
		w.wantState("cluster2", clusters.Synced, "")
	})
}

func TestOwnClusterGatesReadiness(t *testing.T) {
	t.Parallel()
	own, _ := two()
	own.lose(errDown)
	run(t, own, nil, func(w *world) {
		select {
		case <-w.set.Ready():
			t.Fatal("ready without the own cluster")
		default:
		}
		w.wantState("cluster1", clusters.Connecting, "connection timed out")
		own.find()
		w.settle(30 * time.Second)
		<-w.set.Ready()
		w.wantAddresses("[10.1.0.1]")
	})
}

func TestLostAPIServerKeepsItsEndpointsAndSaysSinceWhen(t *testing.T) {
	t.Parallel()
	own, remotes := two()
	run(t, own, remotes, func(w *world) {
		w.secret("west", "cluster2", "west")
		w.settle(time.Hour)
		w.wantState("cluster2", clusters.Synced, "")
		lost := time.Now()
		remotes["west"].lose(errDown)
		w.settle(15 * time.Second)
		st := w.wantState("cluster2", clusters.Stale, "connection timed out")
		if age := st.StaleSince.Sub(lost); age < 0 || age > 11*time.Second || !st.Since.Equal(st.StaleSince) {
			t.Errorf("stale since %s after the loss, want at most 11 s", age)
		}
		w.settle(24 * time.Hour)
		w.wantAddresses("[10.1.0.1 10.2.0.1]")
		if again := w.status("cluster2"); !again.StaleSince.Equal(st.StaleSince) {
			t.Errorf("stale since moved from %s to %s", st.StaleSince, again.StaleSince)
		}
		if _, ok := w.set.Client("cluster2"); !ok {
			t.Error("no client while stale")
		}

		// What happened meanwhile arrives in one step: no update without cart.
		before := w.got
		if err := remotes["west"].CoreV1().Pods("shop").Delete(t.Context(), "cart-1", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		remotes["west"].find()
		w.settle(30 * time.Second)
		w.wantAddresses("[10.1.0.1]")
		w.wantState("cluster2", clusters.Synced, "")
		if w.got != before+1 {
			t.Errorf("%d updates, want one", w.got-before)
		}
	})
}

func TestSilentAPIServerIsFoundByTheProbe(t *testing.T) {
	t.Parallel()
	own, remotes := two()
	run(t, own, remotes, func(w *world) {
		w.secret("west", "cluster2", "west")
		west := remotes["west"]
		west.mu.Lock()
		west.down = errDown // watches stay open, but say nothing
		west.mu.Unlock()
		w.settle(10 * time.Second)
		w.wantState("cluster2", clusters.Stale, "connection timed out")
		west.find()
		w.settle(10 * time.Second)
		w.wantState("cluster2", clusters.Synced, "")
	})
}

func TestChangedSecretReplacesTheClusterWhole(t *testing.T) {
	t.Parallel()
	own, remotes := two()
	remotes["moved"] = newAPIServer(append(pods("cart", "10.2.0.1"), pods("new", "10.2.0.2")...)...)
	run(t, own, remotes, func(w *world) {
		w.secret("west", "cluster2", "west")
		before := w.got
		w.secret("west", "cluster2", "moved")
		w.wantAddresses("[10.1.0.1 10.2.0.1]")
		if got := w.addresses("new"); got != "[10.2.0.2]" {
			t.Errorf("endpoints of the new service = %s", got)
		}
		if w.got != before+1 {
			t.Errorf("%d updates, want one", w.got-before)
		}
		if client, _ := w.set.Client("cluster2"); client != remotes["moved"].Clientset {
			t.Error("client is not the new one")
		}
		if remotes["west"].closed != 1 {
			t.Error("the client before was not freed")
		}
	})
}

func TestSameContentUnderANewCredentialChangesNothing(t *testing.T) {
	t.Parallel()
	own, remotes := two()
	remotes["west-again"] = newAPIServer(pods("cart", "10.2.0.1")...)
	run(t, own, remotes, func(w *world) {
		w.secret("west", "cluster2", "west")
		before := w.got
		w.secret("west", "cluster2", "west-again")
		if client, _ := w.set.Client("cluster2"); client != remotes["west-again"].Clientset {
			t.Fatal("the new credential is not in use")
		}
		if w.got != before {
			t.Errorf("%d updates, want none: all objects are equal", w.got-before)
		}
	})
}

func TestBadCredentialKeepsTheClusterAndItsClient(t *testing.T) {
	t.Parallel()
	const prefix = "the Secret's new credential does not work and the one before stays in use: "
	cases := []struct {
		name, address string
		err           error
		state         clusters.State
		reason        string
	}{
		{"kubeconfig that cannot be read", "bad", nil, clusters.Refused, "the kubeconfig is bad"},
		{"kubeconfig that cannot be opened", "nowhere", nil, clusters.Refused, "no server nowhere"},
		{"token that is turned down", "new", apierrors.NewUnauthorized("Unauthorized"), clusters.Refused, "Unauthorized"},
		{"rights that are missing", "new", apierrors.NewForbidden(schema.GroupResource{}, "", nil), clusters.Refused, `forbidden: <nil>`},
		{"server that cannot be reached", "new", errDown, clusters.Synced, "connection timed out"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			own, remotes := two()
			remotes["new"] = newAPIServer(pods("cart", "10.2.0.7")...)
			remotes["new"].lose(c.err)
			run(t, own, remotes, func(w *world) {
				w.secret("west", "cluster2", "west")
				w.secret("west", "cluster2", c.address)
				w.settle(time.Hour)
				st := w.status("cluster2")
				if st.State != c.state || !strings.HasPrefix(st.Reason, prefix) || !strings.Contains(st.Reason, c.reason) || !st.InUse {
					t.Errorf("status = %+v", st)
				}
				w.wantAddresses("[10.1.0.1 10.2.0.1]")
				if client, ok := w.set.Client("cluster2"); !ok || client != remotes["west"].Clientset {
					t.Error("client is not the one that works")
				}
				if c.address == "new" {
					remotes["new"].find()
					w.settle(30 * time.Second)
					w.wantAddresses("[10.1.0.1 10.2.0.7]")
				} else {
					w.secret("west", "cluster2", "west")
				}
				w.wantState("cluster2", clusters.Synced, "")
			})
		})
	}
}

func TestRefusedFirstCredentialIsTriedAgain(t *testing.T) {
	t.Parallel()
	own, remotes := two()
	remotes["west"].lose(apierrors.NewUnauthorized("Unauthorized"))
	run(t, own, remotes, func(w *world) {
		w.secret("west", "cluster2", "west")
		w.wantState("cluster2", clusters.Refused, "Unauthorized")
		if _, ok := w.set.Client("cluster2"); ok {
			t.Error("a client that never worked is given")
		}
		remotes["west"].find()
		w.settle(30 * time.Second)
		w.wantState("cluster2", clusters.Synced, "")
	})
}

func TestOldestSecretDecidesAboutACluster(t *testing.T) {
	t.Parallel()
	own, remotes := two()
	remotes["other"] = newAPIServer(pods("cart", "10.9.0.1")...)
	run(t, own, remotes, func(w *world) {
		w.secret("a", "cluster2", "west")
		w.secret("b", "cluster2", "other", "cluster1", "other")
		w.wantAddresses("[10.1.0.1 10.2.0.1]")
		all := w.set.Status()
		if len(all) != 3 || all[2].Secret.Name != "b" || all[2].State != clusters.Refused || !strings.Contains(all[2].Reason, "istio-system/a names this cluster too") {
			t.Fatalf("status = %+v", all)
		}
		w.deleteSecret("a")
		w.wantAddresses("[10.1.0.1 10.9.0.1]")
		if all = w.set.Status(); len(all) != 2 {
			t.Errorf("status = %+v, want the own cluster and cluster2", all)
		}
	})
}

func TestMetricsSayWhatStatusSays(t *testing.T) {
	t.Parallel()
	own, remotes := two()
	run(t, own, remotes, func(w *world) {
		w.secret("west", "cluster2", "west")
		w.secret("bad", "cluster3", "bad")
		w.secret("bad", "cluster3", "bad", "cluster4", "bad")
		w.deleteSecret("bad")
		want := []string{
			"istiod_managed_clusters local 1",
			"istiod_managed_clusters remote 1",
			"istiod_remote_cluster_sync_status cluster2 remote refused 0",
			"istiod_remote_cluster_sync_status cluster2 remote stale 0",
			"istiod_remote_cluster_sync_status cluster2 remote synced 1",
			"istiod_remote_cluster_sync_status cluster2 remote syncing 0",
			"remote_cluster_secret_events_total add 2",
			"remote_cluster_secret_events_total delete 1",
			"remote_cluster_secret_events_total update 1",
		}
		if diff := cmp.Diff(want, w.gather()); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	})
}

// gather gives each metric as its name, the values of its labels and its value.
func (w *world) gather() []string {
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			line := f.GetName()
			for _, l := range m.GetLabel() {
				line += " " + l.GetValue()
			}
			lines = append(lines, fmt.Sprint(line, " ", m.GetGauge().GetValue()+m.GetCounter().GetValue()))
		}
	}
	return lines
}

// Not parallel: it counts goroutines.
func TestNothingLeaksAfterManyRotations(t *testing.T) {
	own, remotes := two()
	remotes["east"] = newAPIServer(pods("cart", "10.2.0.1")...)
	run(t, own, remotes, func(w *world) {
		var before int
		for i := range 200 {
			w.secret("west", "cluster2", []string{"west", "east"}[i%2])
			w.settle(time.Minute)
			if i == 10 {
				before = runtime.NumGoroutine()
			}
		}
		if after := runtime.NumGoroutine(); after > before {
			t.Errorf("%d goroutines after 200 rotations, %d after 10", after, before)
		}
		if closed := remotes["west"].closed + remotes["east"].closed; closed != 199 {
			t.Errorf("%d clients freed, want 199", closed)
		}
		w.wantAddresses("[10.1.0.1 10.2.0.1]")
	})
}
