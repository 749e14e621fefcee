package ca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/isthmus-mesh/isthmus/internal/certs"
	"github.com/isthmus-mesh/isthmus/internal/trust"
)

var (
	domain = trust.MustDomain("cluster.local")
	curl   = trust.WorkloadID(domain, "sample", "curl")
)

func newRoot(t *testing.T) *certs.Authority {
	t.Helper()
	root, err := certs.NewRoot(certs.Template{KeySize: certs.P256, Now: time.Now(), Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func newIntermediate(t *testing.T, root *certs.Authority, name string) *certs.Authority {
	t.Helper()
	ca, err := root.NewIntermediate(certs.Template{Locality: name, KeySize: certs.P256, Now: time.Now(), Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func secretOf(t *testing.T, a *certs.Authority) *corev1.Secret {
	t.Helper()
	files, err := a.Files()
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "cacerts", Namespace: "istio-system"}, Data: files}
}

// newCSR makes a key and a request that claims nothing, or what the request says.
func newCSR(t *testing.T, request x509.CertificateRequest) (string, crypto.Signer) {
	t.Helper()
	key, err := certs.NewKey(rand.Reader, certs.P256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &request, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), key
}

// newClient is an API server in memory. The channel tells of every watch that has begun: an object made before that would
// be lost between an informer's list and its watch, which a real server does not let happen.
func newClient(objects ...runtime.Object) (*fake.Clientset, <-chan string) {
	client := fake.NewClientset(objects...)
	watching := make(chan string, 100)
	client.PrependWatchReactor("*", func(action clienttesting.Action) (bool, watch.Interface, error) {
		w, err := client.Tracker().Watch(action.GetResource(), action.GetNamespace())
		watching <- action.GetResource().Resource
		return true, w, err
	})
	return client, watching
}

// await returns when n values have come, and fails the test when they do not.
func await[T any](t *testing.T, values <-chan T, n int) (last T) {
	t.Helper()
	for range n {
		select {
		case last = <-values:
		case <-time.After(20 * time.Second):
			t.Fatal("waited for 20 s")
		}
	}
	return last
}

// logLines is a logger whose messages and reasons can be waited for.
func logLines() (*slog.Logger, <-chan string) {
	lines := make(chan string, 100)
	return slog.New(lineHandler{slog.DiscardHandler, lines}), lines
}

type lineHandler struct {
	slog.Handler
	lines chan<- string
}

func (h lineHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h lineHandler) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	h.lines <- line
	return nil
}

// start runs f until the test ends, and waits for its end, which is no error.
func start(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := await(t, done, 1); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}
