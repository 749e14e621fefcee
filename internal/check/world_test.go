package check

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/isthmus-mesh/isthmus/api/label"
	"github.com/isthmus-mesh/isthmus/internal/probe"
	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// world is a mesh in memory: API servers that hold objects, control planes that answer, pods that run as soon as they are made.
// A test breaks one thing in it.
type world struct {
	t        *testing.T
	members  map[string]*member // by context
	contexts []string
}

// member is one cluster of the world.
type member struct {
	context string
	core    *fake.Clientset
	peers   []PeerState
	// What a test may break.
	down       bool                                // istiod's pod is gone
	uninjected bool                                // the injector leaves pods alone
	probePod   func(*corev1.Pod)                   // changes a probe's pod as it is made
	calls      func(url string) (probe.Call, bool) // answers in place of the mesh
	hello      []string                            // versions that the sample's client hears
	now        func() time.Time
	mu         sync.Mutex
	called     int
}

func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	w := &world{t: t, members: map[string]*member{}, contexts: names}
	root := newRoot(t, "root")
	for _, name := range names {
		w.members[name] = w.newMember(name, root)
	}
	for _, from := range names {
		for _, to := range names {
			if from != to {
				w.join(from, to)
			}
		}
	}
	return w
}

func (w *world) newMember(name string, root *x509.Certificate) *member {
	m := &member{context: name, now: time.Now, hello: []string{"v1", "v2"}}
	one := int32(1)
	values := fmt.Sprintf(`{"global":{"hub":"hub.example","tag":"1","network":"network1","multiCluster":{"clusterName":%q}}}`, name)
	m.core = fake.NewClientset(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: types.UID("uid-" + name)}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "istio-system", Labels: map[string]string{label.Network: "network1"}}},
		&appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "istiod", Namespace: "istio-system", Labels: map[string]string{"app": "istiod", label.Revision: "default"}},
			Spec:       appsv1.DeploymentSpec{Replicas: &one},
			Status:     appsv1.DeploymentStatus{AvailableReplicas: 1},
		},
		&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "istiod-1", Namespace: "istio-system", Labels: map[string]string{"app": "istiod", label.Revision: "default"}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning},
		},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "istio-sidecar-injector", Namespace: "istio-system"}, Data: map[string]string{"values": values}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "istio", Namespace: "istio-system"}, Data: map[string]string{"mesh": ""}},
		rootConfigMap(root),
	)
	m.core.PrependReactor("create", "deployments", m.runDeployment)
	m.peers = []PeerState{{Cluster: name, Status: "synced", State: "synced"}}
	return m
}

func rootConfigMap(root *x509.Certificate) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-ca-root-cert", Namespace: "istio-system"},
		Data:       map[string]string{"root-cert.pem": string(trust.EncodeCertificate(root.Raw))},
	}
}

func newRoot(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// join gives from the Secret for to, and lets its control plane follow to.
func (w *world) join(from, to string) {
	w.t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters[to] = &clientcmdapi.Cluster{Server: "https://" + to + ".example:6443"}
	config.AuthInfos[to] = &clientcmdapi.AuthInfo{Token: "token-of-" + to}
	config.Contexts[to] = &clientcmdapi.Context{Cluster: to, AuthInfo: to}
	config.CurrentContext = to
	kubeconfig, err := clientcmd.Write(*config)
	if err != nil {
		w.t.Fatal(err)
	}
	m := w.members[from]
	m.put(w.t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-remote-secret-" + to, Namespace: "istio-system", Labels: map[string]string{label.MultiCluster: "true"}},
		Data:       map[string][]byte{to: kubeconfig},
	})
	event := time.Now().Add(-3 * time.Second)
	m.peers = append(m.peers, PeerState{
		Cluster: to, Secret: "istio-system/istio-remote-secret-" + to, Status: "synced", State: "synced", LastEvent: &event,
	})
}

// put makes or replaces objects.
func (m *member) put(t *testing.T, objects ...runtime.Object) {
	t.Helper()
	for _, o := range objects {
		err := m.core.Tracker().Add(o)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// peer is how the member's control plane sees a cluster.
func (m *member) peer(cluster string) *PeerState {
	i := slices.IndexFunc(m.peers, func(p PeerState) bool { return p.Cluster == cluster })
	return &m.peers[i]
}

// runDeployment makes the pod of a Deployment, injected and ready.
func (m *member) runDeployment(action ktesting.Action) (bool, runtime.Object, error) {
	d := action.(ktesting.CreateAction).GetObject().(*appsv1.Deployment)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: d.Name + "-1", Namespace: d.Namespace, Labels: d.Spec.Template.Labels},
		Spec:       d.Spec.Template.Spec,
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: d.Name, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	if !m.uninjected {
		pod.Spec.InitContainers = []corev1.Container{{Name: "istio-proxy"}}
	}
	if m.probePod != nil {
		m.probePod(pod)
	}
	return false, nil, m.core.Tracker().Add(pod)
}

func (w *world) connect(name string) (Cluster, error) {
	m := w.members[name]
	return Cluster{
		Core: m.core,
		Get: func(_ context.Context, _, _ string, port int, path string) ([]byte, error) {
			return w.get(m, port, path)
		},
		Exec: func(_ context.Context, _, pod, _ string, command ...string) ([]byte, error) {
			return w.exec(m, pod, command)
		},
		Now: func(context.Context) (time.Time, error) { return m.now(), nil },
	}, nil
}

// get is the member's istiod.
func (w *world) get(m *member, port int, path string) ([]byte, error) {
	if m.down {
		return nil, errors.New("connection refused")
	}
	switch path {
	case "/ready":
		return nil, nil
	case "/version":
		return []byte("0.1.0"), nil
	case "/debug/clusterz":
		return json.Marshal(m.peers)
	case "/debug/endpointz":
		var counts []endpointCount
		for _, p := range m.peers {
			if p.Status == "synced" {
				counts = append(counts, endpointCount{
					Service: probeName(p.Cluster) + "." + ProbeNamespace + ".svc.cluster.local", Port: port, Clusters: map[string]int{p.Cluster: 1},
				})
			}
		}
		return json.Marshal(counts)
	}
	return nil, fmt.Errorf("no such page: %s", path)
}

// exec is a pod of the member: its probe, or the sample's client.
func (w *world) exec(m *member, pod string, command []string) ([]byte, error) {
	if command[0] == "curl" {
		return m.helloAnswers(), nil
	}
	url := command[3]
	if m.calls != nil {
		if c, own := m.calls(url); own {
			return json.Marshal(probe.Report{Tries: 1, Calls: []probe.Call{c}})
		}
	}
	for _, to := range w.contexts {
		if url == directURL(to) {
			return json.Marshal(probe.Report{Tries: 1, Calls: []probe.Call{{Status: 200, Answer: &probe.Answer{Cluster: to}}}})
		}
		if url == probeURL(to) {
			answer := &probe.Answer{
				Cluster: to, Pod: probeName(to) + "-1",
				ClientCertificate: `By=spiffe://cluster.local/ns/x/sa/y;URI=spiffe://cluster.local/ns/` + ProbeNamespace + "/sa/" + strings.TrimSuffix(pod, "-1"),
			}
			return json.Marshal(probe.Report{Tries: 1, Calls: []probe.Call{{Status: 200, Answer: answer}}})
		}
	}
	return nil, fmt.Errorf("nothing answers at %s", url)
}

// directURL is the address of a cluster's probe pod.
func directURL(cluster string) string { return "http://" + probeName(cluster) + ":8080/" }

func (m *member) helloAnswers() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out strings.Builder
	for range sampleCalls {
		if len(m.hello) == 0 {
			out.WriteString("upstream connect error\n")
			continue
		}
		_, _ = fmt.Fprintf(&out, "Hello version: %s, instance: x\n", m.hello[m.called%len(m.hello)])
		m.called++
	}
	return []byte(out.String())
}

// verify runs everything against the world.
func (w *world) verify(change func(*Options)) Report {
	w.t.Helper()
	o := Options{
		Candidates: w.contexts, Connect: w.connect, Namespace: "istio-system",
		Sample:  Sample{Namespace: "sample", Service: "helloworld", Port: 5000},
		Timeout: 20 * time.Second,
		Try:     func(context.Context, []byte) (string, error) { return "https://peer.example", nil },
	}
	if change != nil {
		change(&o)
	}
	report, err := Verify(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

// addSample puts the sample into all members: version v1 in the first, v2 in the second, a client in each.
func (w *world) addSample(sidecar bool) {
	w.t.Helper()
	for i, name := range w.contexts {
		version := fmt.Sprintf("v%d", i+1)
		w.members[name].put(w.t,
			&corev1.Service{
				ObjectMeta: metav1.ObjectMeta{Name: "helloworld", Namespace: "sample"},
				Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "helloworld"}},
			},
			samplePod("helloworld-"+version, sidecar, map[string]string{"app": "helloworld", "version": version}),
			samplePod("sleep-1", true, map[string]string{"app": "sleep"}),
		)
	}
}

func samplePod(name string, sidecar bool, labels map[string]string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "sample", Labels: labels},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	if sidecar {
		pod.Spec.Containers = []corev1.Container{{Name: "istio-proxy"}}
	}
	return pod
}

// find gives the result of one check.
func (w *world) find(r Report, name, from, to string) Result {
	w.t.Helper()
	for _, result := range r.Checks {
		if result.Check == name && result.From == from && result.To == to {
			return result
		}
	}
	w.t.Fatalf("no row %s %s -> %s in %+v", name, from, to, r.Checks)
	return Result{}
}
