package clusters_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	istiofake "istio.io/client-go/pkg/clientset/versioned/fake"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	k8stesting "k8s.io/client-go/testing"

	"github.com/isthmus-mesh/isthmus/internal/clusters"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// certificateSecret is a Secret of type kubernetes.io/tls with a new certificate.
func certificateSecret(t *testing.T, namespace, name string) *corev1.Secret {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"shop.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{
			"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
			"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
		},
	}
}

// withGateway is an API server with a gateway's pod in namespace edge, a Gateway in namespace shop that names the Secret shop,
// and that Secret and others.
func withGateway(t *testing.T) *apiServer {
	t.Helper()
	own := newAPIServer(
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: "gateway", Labels: map[string]string{"istio": "ingress"}}},
		certificateSecret(t, "edge", "shop"), certificateSecret(t, "edge", "other"), certificateSecret(t, "shop", "shop"),
	)
	api := istioAPI{istiofake.NewSimpleClientset()}
	if _, err := api.NetworkingV1().Gateways("shop").Create(t.Context(), gatewayFor("shop"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	own.istio = api
	return own
}

func gatewayFor(secret string) *networkingv1.Gateway {
	return &networkingv1.Gateway{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop"},
		Spec: networking.Gateway{Selector: map[string]string{"istio": "ingress"}, Servers: []*networking.Server{{
			Port: &networking.Port{Number: 443, Name: "https", Protocol: "HTTPS"}, Hosts: []string{"*"},
			Tls: &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_MUTUAL, CredentialName: secret},
		}}},
	}
}

// credential gives what the newest update knows of a Secret.
func (w *world) credential(namespace, name string) *registry.Credential {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.Clusters[0].Credential(namespace, name)
}

func TestOnlyNamedSecretsAreKept(t *testing.T) {
	t.Parallel()
	own := withGateway(t)
	run(t, own, nil, func(w *world) {
		w.settle(time.Second)
		first := w.credential("edge", "shop")
		if first == nil || first.Model == nil || first.Model.Certificates == "" || first.Pair != "" {
			t.Fatalf("the Secret of the gateway is %+v", first)
		}
		if roots := w.credential("edge", "shop-cacert"); roots == nil || roots.Model != nil {
			t.Errorf("a Secret that does not exist is %+v", roots)
		}
		if n := w.status("cluster1").Objects[registry.KindCredential]; n != 2 {
			t.Errorf("%d Secrets are kept, want shop and that there is no shop-cacert", n)
		}

		secrets := own.CoreV1().Secrets("edge")
		if _, err := secrets.Update(context.Background(), certificateSecret(t, "edge", "shop"), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		w.settle(time.Second)
		if second := w.credential("edge", "shop"); second.Model.Certificates == first.Model.Certificates {
			t.Error("a rotated Secret is as before")
		}
		if err := secrets.Delete(context.Background(), "shop", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.settle(time.Second)
		if gone := w.credential("edge", "shop"); gone == nil || gone.Model != nil {
			t.Errorf("a deleted Secret is %+v", gone)
		}
	})
}

func TestSecretsFollowWhatGatewaysName(t *testing.T) {
	t.Parallel()
	own := withGateway(t)
	run(t, own, nil, func(w *world) {
		w.settle(time.Second)
		gateways := own.istio.NetworkingV1().Gateways("shop")
		if _, err := gateways.Update(context.Background(), gatewayFor("other"), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		w.settle(time.Second)
		if other := w.credential("edge", "other"); other == nil || other.Model == nil {
			t.Errorf("the Secret that is named now is %+v", other)
		}
		if shop := w.credential("edge", "shop"); shop != nil {
			t.Error("a Secret that is named no more is kept")
		}
		if err := gateways.Delete(context.Background(), "shop", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.settle(time.Second)
		if n := w.status("cluster1").Objects[registry.KindCredential]; n != 0 {
			t.Errorf("%d Secrets are kept for nobody", n)
		}
	})
}

func TestForbiddenSecretsBreakNothing(t *testing.T) {
	t.Parallel()
	own := withGateway(t)
	var allowed atomic.Bool
	forbidden := func(action k8stesting.Action) (bool, error) {
		if action.GetNamespace() != "edge" || allowed.Load() {
			return false, nil
		}
		return true, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", nil)
	}
	own.PrependReactor("list", "secrets", func(action k8stesting.Action) (bool, runtime.Object, error) {
		is, err := forbidden(action)
		return is, nil, err
	})
	own.PrependWatchReactor("secrets", func(action k8stesting.Action) (bool, watch.Interface, error) {
		is, err := forbidden(action)
		return is, nil, err
	})
	run(t, own, nil, func(w *world) {
		<-w.set.Ready()
		w.settle(time.Minute)
		w.wantState("cluster1", clusters.Synced, "")
		shop := w.credential("edge", "shop")
		if shop == nil || shop.Model != nil || !strings.Contains(shop.Unread, "rbac.enabled=true") {
			t.Errorf("the Secret that may not be read is %+v", shop)
		}
		allowed.Store(true)
		w.settle(20 * time.Second)
		if shop := w.credential("edge", "shop"); shop.Model == nil || shop.Unread != "" {
			t.Errorf("the Secret that may be read now is %+v", shop)
		}

		// What was read stays when it may not be read any more.
		allowed.Store(false)
		own.lose(apierrors.NewServiceUnavailable("restarts"))
		own.find()
		w.settle(time.Minute)
		w.wantState("cluster1", clusters.Synced, "")
		if shop := w.credential("edge", "shop"); shop.Model == nil || shop.Unread == "" {
			t.Errorf("the Secret that may not be read any more is %+v", shop)
		}
	})
}
