package clusters_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	istioclient "istio.io/client-go/pkg/clientset/versioned"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/isthmus-mesh/isthmus/internal/clusters"
	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
	"github.com/isthmus-mesh/isthmus/internal/remotesecret"
)

const system = "istio-system"

// apiServer is the API server of one cluster, in memory. It can be lost and found.
type apiServer struct {
	*fake.Clientset
	istio istioclient.Interface // nil when the test is not about it

	mu      sync.Mutex // guards what follows
	down    error
	watches []watch.Interface
	closed  int // clients that were freed
}

func newAPIServer(objects ...runtime.Object) *apiServer {
	a := &apiServer{Clientset: fake.NewClientset(objects...)}
	refuse := func(k8stesting.Action) (bool, runtime.Object, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.down != nil, nil, a.down
	}
	a.PrependReactor("list", "*", refuse)
	a.PrependReactor("get", "version", refuse)
	a.PrependWatchReactor("*", func(action k8stesting.Action) (bool, watch.Interface, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.down != nil {
			return true, nil, a.down
		}
		w, err := a.Tracker().Watch(action.GetResource(), action.GetNamespace())
		a.watches = append(a.watches, w)
		return true, w, err
	})
	return a
}

// lose makes every request fail and breaks what is open.
func (a *apiServer) lose(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = err
	for _, w := range a.watches {
		w.Stop()
	}
	a.watches = nil
}

func (a *apiServer) find() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = nil
}

// pods is a pod, a service and its slice, which together make an endpoint with the given address.
func pods(name, ip string) []runtime.Object {
	meta := func(n string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "shop", Name: n} }
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: meta(name + "-x"), AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{ip}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: name + "-1"}}},
		Ports:     []discoveryv1.EndpointPort{{Name: new(string), Port: new(int32)}},
	}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: name}
	*slice.Ports[0].Port = 8080
	return []runtime.Object{
		&corev1.Service{ObjectMeta: meta(name), Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Port: 80}}}},
		&corev1.Pod{ObjectMeta: meta(name + "-1"), Status: corev1.PodStatus{PodIP: ip}},
		slice,
	}
}

// world is a Set with its own cluster and what its remote Secrets lead to.
type world struct {
	t       *testing.T
	set     *clusters.Set
	own     *apiServer
	remotes map[string]*apiServer // by the text of the kubeconfig
	metrics *prometheus.Registry

	mu   sync.Mutex // guards what follows
	last clusters.Update
	got  int // updates
}

// parse takes the value of each key as an address; "bad" is one that cannot be used.
func parse(s *corev1.Secret) (remotes []remotesecret.Remote, problems []remotesecret.Problem) {
	for cluster, kubeconfig := range s.Data {
		if string(kubeconfig) == "bad" {
			problems = append(problems, remotesecret.Problem{Cluster: cluster, Text: "the kubeconfig is bad"})
			continue
		}
		remotes = append(remotes, remotesecret.Remote{Cluster: cluster, Kubeconfig: kubeconfig, Hash: string(kubeconfig)})
	}
	return remotes, problems
}

// run starts a Set in a bubble, which ends when the test does.
func run(t *testing.T, own *apiServer, remotes map[string]*apiServer, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, own: own, remotes: remotes, metrics: prometheus.NewRegistry()}
		w.set = clusters.New(clusters.Options{
			Cluster: "cluster1", Namespace: system, Client: own.Clientset, Istio: own.istio, Parse: parse, Metrics: w.metrics, Log: slog.New(slog.DiscardHandler),
			Open: func(kubeconfig []byte) (clusters.Client, error) {
				a := remotes[string(kubeconfig)]
				if a == nil {
					return clusters.Client{}, fmt.Errorf("no server %s", kubeconfig)
				}
				return clusters.Client{Kubernetes: a.Clientset, Close: func() {
					a.mu.Lock()
					defer a.mu.Unlock()
					a.closed++
				}}, nil
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := w.set.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		running.Go(func() { w.receive(ctx) })
		synctest.Wait()
		test(w)
		cancel()
		running.Wait()
	})
}

func (w *world) receive(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case u := <-w.set.Changes():
			w.mu.Lock()
			w.last = u
			w.got++
			w.mu.Unlock()
		}
	}
}

// settle lets everything happen that happens in a time.
func (w *world) settle(d time.Duration) {
	time.Sleep(d) // of the bubble: it costs nothing, and says exactly how long something may take
	synctest.Wait()
}

// addresses gives the endpoints of all clusters, from a snapshot of what was last received.
func (w *world) addresses(service string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	mesh, _ := registry.MeshFrom(nil, nil, registry.Own{Cluster: "cluster1"})
	s := registry.Build(nil, w.last.Clusters, mesh)
	var all []netip.Addr
	if ns := s.Namespaces["shop"]; ns != nil {
		if b := ns.Backends[model.Hostname(service+".shop.svc.cluster.local")]; b != nil {
			for _, e := range b.Ports[80].Items {
				all = append(all, e.Address)
			}
		}
	}
	return fmt.Sprint(all)
}

func (w *world) wantAddresses(want string) {
	w.t.Helper()
	if got := w.addresses("cart"); got != want {
		w.t.Fatalf("endpoints = %s, want %s", got, want)
	}
}

// status gives that of the first entry with a cluster's name.
func (w *world) status(cluster model.Cluster) clusters.Status {
	for _, s := range w.set.Status() {
		if s.Cluster == cluster {
			return s
		}
	}
	return clusters.Status{}
}

func (w *world) wantState(cluster model.Cluster, want clusters.State, reason string) clusters.Status {
	w.t.Helper()
	s := w.status(cluster)
	if s.State != want || s.Reason != reason {
		w.t.Fatalf("%s is %s (%q), want %s (%q)", cluster, s.State, s.Reason, want, reason)
	}
	return s
}

// secret writes a remote Secret that gives access to clusters: name, address, name, address...
func (w *world) secret(name string, entries ...string) {
	w.t.Helper()
	s := remoteSecret(name, entries...)
	api := w.own.CoreV1().Secrets(system)
	_, err := api.Update(w.t.Context(), s, metav1.UpdateOptions{})
	if err != nil {
		_, err = api.Create(w.t.Context(), s, metav1.CreateOptions{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

func remoteSecret(name string, entries ...string) *corev1.Secret {
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: name, Labels: map[string]string{"istio/multiCluster": "true"}},
		Data:       map[string][]byte{},
	}
	for i := 0; i < len(entries); i += 2 {
		s.Data[entries[i]] = []byte(entries[i+1])
	}
	return s
}

func (w *world) deleteSecret(name string) {
	w.t.Helper()
	if err := w.own.CoreV1().Secrets(system).Delete(w.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

var errDown = errors.New("connection timed out")
