package ca

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/isthmus-mesh/isthmus/internal/certs"
)

func secretsOf(client *fake.Clientset) Secrets {
	return Secrets{Client: client, Namespace: "istio-system", Domain: domain}
}

func TestCacertsIsUsedWhenThere(t *testing.T) {
	t.Parallel()
	ca := newIntermediate(t, newRoot(t), "cluster1")
	tls := secretOf(t, ca)
	var err error
	if tls.Data, err = ca.TLSFiles(); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []*corev1.Secret{secretOf(t, ca), tls} {
		client, _ := newClient(secret)
		current, err := secretsOf(client).LoadOrCreate(t.Context())
		if err != nil || current.Source() != PluggedIn || !current.Authority().Equal(ca) {
			t.Errorf("%v, %v", current, err)
		}
	}
}

func TestBadCacertsIsAnErrorAndStaysAsItIs(t *testing.T) {
	t.Parallel()
	ca, other := newIntermediate(t, newRoot(t), "cluster1"), newIntermediate(t, newRoot(t), "cluster1")
	for _, file := range []string{"ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem"} {
		for name, content := range map[string][]byte{"missing": nil, "another's": secretOf(t, other).Data[file]} {
			secret := secretOf(t, ca)
			if secret.Data[file] = content; content == nil {
				delete(secret.Data, file)
			}
			client, _ := newClient(secret)
			_, err := secretsOf(client).LoadOrCreate(t.Context())
			// The chain file of another is left out: the path is found without it, and that is no mismatch.
			if file == "cert-chain.pem" && content != nil {
				continue
			}
			if err == nil || !strings.Contains(err.Error(), "istio-system/cacerts") || !strings.Contains(err.Error(), ".pem: ") {
				t.Errorf("%s %s: %v", file, name, err)
			}
			if content == nil && !strings.Contains(err.Error(), file+": missing") {
				t.Errorf("%s %s: %v", file, name, err)
			}
			if _, err := client.CoreV1().Secrets("istio-system").Get(t.Context(), "istio-ca-secret", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				t.Errorf("%s %s: fell back to a self-signed authority", file, name)
			}
		}
	}
}

func TestSelfSignedIsMadeOnceAndReadAgain(t *testing.T) {
	t.Parallel()
	client, _ := newClient()
	first, err := secretsOf(client).LoadOrCreate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	secret, err := client.CoreV1().Secrets("istio-system").Get(t.Context(), "istio-ca-secret", metav1.GetOptions{})
	if err != nil || secret.Type != "istio.io/ca-root" || len(secret.Data) != 2 {
		t.Fatalf("%+v, %v", secret, err)
	}
	if got := first.Authority().Certificate().Subject.Organization; len(got) != 1 || got[0] != "cluster.local" {
		t.Errorf("organization %v", got)
	}
	again, err := secretsOf(client).LoadOrCreate(t.Context())
	if err != nil || !again.Authority().Equal(first.Authority()) || again.Source() != SelfSigned {
		t.Errorf("%v, %v", again, err)
	}
}

func TestSlowerReplicaTakesTheWinnersRoot(t *testing.T) {
	t.Parallel()
	client, _ := newClient()
	winner := secretOf(t, newRoot(t))
	winner.Name, winner.Type = "istio-ca-secret", selfSignedType
	client.PrependReactor("create", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if err := client.Tracker().Add(winner); err != nil {
			t.Error(err)
		}
		return true, nil, apierrors.NewAlreadyExists(action.GetResource().GroupResource(), winner.Name)
	})
	current, err := secretsOf(client).LoadOrCreate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := string(current.Roots().PEM()); got != string(winner.Data[certs.CertFile]) {
		t.Error("the slower replica kept its own root")
	}
}

func TestUnreadableSecretsAreNotReplaced(t *testing.T) {
	t.Parallel()
	client, _ := newClient()
	client.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("forbidden")
	})
	if _, err := secretsOf(client).LoadOrCreate(t.Context()); err == nil {
		t.Error("made an authority without knowing whether there is one")
	}
}

func TestWatchTakesUpCacertsAndRefusesBadOnes(t *testing.T) {
	t.Parallel()
	client, watching := newClient()
	log, lines := logLines()
	secrets := secretsOf(client)
	current, err := secrets.LoadOrCreate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	secrets.Log = log
	start(t, func(ctx context.Context) error { return secrets.Watch(ctx, current) })
	await(t, watching, 2)
	api := client.CoreV1().Secrets("istio-system")

	root := newRoot(t)
	ca := newIntermediate(t, root, "cluster1")
	changed := current.Changed()
	if _, err := api.Create(t.Context(), secretOf(t, ca), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitClosed(t, changed)
	if !current.Authority().Equal(ca) || current.Source() != PluggedIn || current.ClientRoots().Len() != 2 {
		t.Error("cacerts was not taken up beside the old root for clients")
	}
	awaitLine(t, lines, "the mesh root changed")

	bad := secretOf(t, newIntermediate(t, root, "cluster1"))
	delete(bad.Data, "ca-key.pem")
	if _, err := api.Update(t.Context(), bad, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, lines, "ca-key.pem: missing")
	if !current.Authority().Equal(ca) {
		t.Error("a bad cacerts took the good one away")
	}

	if err := api.Delete(t.Context(), "cacerts", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, lines, "secret cacerts is gone")
	if !current.Authority().Equal(ca) {
		t.Error("a deleted cacerts made it fall back")
	}

	next := newIntermediate(t, root, "cluster1")
	changed = current.Changed()
	if _, err := api.Create(t.Context(), secretOf(t, next), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitClosed(t, changed)
	if !current.Authority().Equal(next) {
		t.Error("a new intermediate was not taken up")
	}
}

func TestWatchRefusesARootThatIsStrangeToTheMesh(t *testing.T) {
	t.Parallel()
	oldRoot, newRoot1 := newRoot(t), newRoot(t)
	ca := newIntermediate(t, oldRoot, "cluster1")
	client, watching := newClient(secretOf(t, ca))
	log, lines := logLines()
	secrets := secretsOf(client)
	current, err := secrets.LoadOrCreate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	secrets.Log = log
	start(t, func(ctx context.Context) error { return secrets.Watch(ctx, current) })
	await(t, watching, 2)
	api := client.CoreV1().Secrets("istio-system")

	next := newIntermediate(t, newRoot1, "cluster1")
	strange := secretOf(t, next)
	if _, err := api.Update(t.Context(), strange, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, lines, "put both roots into its root-cert.pem")
	if !current.Authority().Equal(ca) {
		t.Error("a root that no workload knows was taken up")
	}

	changed := current.Changed()
	both := strange.DeepCopy()
	both.Data[certs.RootFile] = append(slices.Clone(both.Data[certs.RootFile]), oldRoot.Roots().PEM()...)
	if _, err := api.Update(t.Context(), both, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitClosed(t, changed)
	if current.Roots().Len() != 2 {
		t.Error("a bundle with both roots was not taken up")
	}

	restarted, err := secretsOf(newClientOf(strange)).LoadOrCreate(t.Context())
	if err != nil || !restarted.Authority().Equal(next) {
		t.Errorf("a restart does not take the Secret as it is: %v", err)
	}
}

func TestAnotherRootThanBeforeTheStartIsSaid(t *testing.T) {
	t.Parallel()
	ca := newIntermediate(t, newRoot(t), "cluster1")
	before := func(roots []byte) *corev1.ConfigMap {
		return &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: RootConfigMap, Namespace: "istio-system"}, Data: map[string]string{certs.RootFile: string(roots)},
		}
	}
	cases := []struct {
		name    string
		objects []runtime.Object
		want    string // in the first line logged
	}{
		{"cacerts was deleted", []runtime.Object{before(ca.Roots().PEM())}, "secret cacerts is gone"},
		{"cacerts has another root", []runtime.Object{secretOf(t, ca), before(newRoot(t).Roots().PEM())}, "another root"},
		{"the same root", []runtime.Object{secretOf(t, ca), before(ca.Roots().PEM())}, "certificate authority ready"},
		{"the first start", nil, "certificate authority ready"},
	}
	for _, c := range cases {
		secrets := secretsOf(newClientOf(c.objects...))
		log, lines := logLines()
		secrets.Log = log
		if _, err := secrets.LoadOrCreate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if line := await(t, lines, 1); !strings.Contains(line, c.want) {
			t.Errorf("%s: logged %q, want %q", c.name, line, c.want)
		}
	}
}

func newClientOf(objects ...runtime.Object) *fake.Clientset {
	client, _ := newClient(objects...)
	return client
}

// awaitLine waits for a log line with this in it.
func awaitLine(t *testing.T, lines <-chan string, part string) {
	t.Helper()
	for !strings.Contains(await(t, lines, 1), part) {
	}
}

func awaitClosed(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatal("waited for 20 s")
	}
}
