package webhook

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// inBubble runs a watch beside the test in fake time, and ends it with the test.
func inBubble(t *testing.T, watch func(context.Context) error, test func(context.Context)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- watch(ctx) }()
		settle()
		test(ctx)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the watch ended with %v", err)
		}
	})
}

// settle lets fake time pass until retries and watches have nothing left to do.
func settle() {
	<-time.After(time.Minute)
	synctest.Wait()
}

func configMap(name, key, text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "istio-system"}, Data: map[string]string{key: text}}
}

func TestWatchConfigKeepsTheLastGoodOne(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset(
		configMap("istio-sidecar-injector-canary", "values", `{"global":{"network":"one"}}`),
		configMap("istio-sidecar-injector", "values", `{"global":{"network":"other revision"}}`))
	config := &Config{}
	var last error
	watch := ConfigWatch{Client: client, Namespace: "istio-system", Revision: "canary", Config: config, OnChange: func(err error) { last = err }}
	inBubble(t, func(ctx context.Context) error { return WatchConfig(ctx, watch) }, func(ctx context.Context) {
		if _, ready := config.Inputs(); ready {
			t.Fatal("ready without a mesh configuration")
		}
		maps := client.CoreV1().ConfigMaps("istio-system")
		must(t)(maps.Create(ctx, configMap("istio-canary", "mesh", "trustDomain: td1"), metav1.CreateOptions{}))
		settle()
		if in, _ := config.Inputs(); in.Network != "one" || in.TrustDomain != "td1" {
			t.Fatalf("inputs %+v", in)
		}
		must(t)(maps.Update(ctx, configMap("istio-canary", "mesh", "trustDomain: ["), metav1.UpdateOptions{}))
		settle()
		if in, _ := config.Inputs(); in.TrustDomain != "td1" {
			t.Fatalf("after a mesh that is no YAML: inputs %+v", in)
		}
		must(t)(maps.Update(ctx, configMap("istio-canary", "mesh", "trustDomain: td3\ndefaultConfig: {interceptionMode: TPROXY}"), metav1.UpdateOptions{}))
		settle()
		if in, _ := config.Inputs(); in.TrustDomain != "td1" || last == nil {
			t.Fatalf("after one with which every pod is refused: inputs %+v, error %v", in, last)
		}
		if err := maps.Delete(ctx, "istio-canary", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		settle()
		must(t)(maps.Create(ctx, configMap("istio-canary", "mesh", "trustDomain: td2"), metav1.CreateOptions{}))
		settle()
		if in, _ := config.Inputs(); in.TrustDomain != "td2" || last != nil {
			t.Fatalf("after a good one: inputs %+v, error %v", in, last)
		}
	})
}

func TestTheFirstConfigurationCountsAsFarAsItCanBeRead(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, values, mesh string
		usable             bool
	}{
		{"a mesh field that is mistyped", `{"global":{"network":"one"}}`, "connectTimeout: soon", true},
		{"a mesh with which every pod is refused", `{"global":{"network":"one"}}`, "defaultConfig: {interceptionMode: TPROXY}", true},
		{"a value of the wrong type", `{"global":{"network":"one","hub":1}}`, "", true},
		{"values that are no YAML", "{", "", false},
	}
	for _, c := range cases {
		config := &Config{}
		_ = config.Set([]byte(c.values), []byte(c.mesh))
		if in, usable := config.Inputs(); usable != c.usable || usable && in.Network != "one" {
			t.Errorf("%s: usable %t, network %q", c.name, usable, in.Network)
		}
	}
}

func must(t *testing.T) func(*corev1.ConfigMap, error) {
	t.Helper()
	return func(_ *corev1.ConfigMap, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func webhookConfig(name, revision string, hooks ...string) *admissionregistrationv1.MutatingWebhookConfiguration {
	c := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{revisionLabel: revision},
	}}
	for _, hook := range hooks {
		c.Webhooks = append(c.Webhooks, admissionregistrationv1.MutatingWebhook{Name: hook})
	}
	return c
}

func bundles(t *testing.T, client *fake.Clientset, name string) []string {
	t.Helper()
	c, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, hook := range c.Webhooks {
		got = append(got, string(hook.ClientConfig.CABundle))
	}
	return got
}

func wantBundles(t *testing.T, client *fake.Clientset, name string, want ...string) {
	t.Helper()
	got := bundles(t, client, name)
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s has bundles %q, want %q", name, got, want)
		}
	}
}

func TestCABundleIsWrittenAgainWhenEditedAndWhenRootsChange(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset(
		webhookConfig("mine", "default", "namespace.sidecar-injector.istio.io", "other.example", "object.sidecar-injector.istio.io"),
		webhookConfig("canary", "canary", "namespace.sidecar-injector.istio.io"))
	roots := ""
	var changed chan struct{} // made inside the bubble, whose goroutines alone use it
	watch := func(ctx context.Context) error {
		changed = make(chan struct{})
		return KeepCABundle(ctx, client, "", Roots{Current: func() []byte { return []byte(roots) }, Changed: changed}, nil)
	}
	inBubble(t, watch, func(ctx context.Context) {
		wantBundles(t, client, "mine", "", "", "")
		roots = "root1"
		changed <- struct{}{}
		settle()
		wantBundles(t, client, "mine", "root1", "", "root1")
		wantBundles(t, client, "canary", "")

		edited := webhookConfig("mine", "default", "namespace.sidecar-injector.istio.io", "added.sidecar-injector.istio.io")
		if _, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Update(ctx, edited, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		settle()
		wantBundles(t, client, "mine", "root1", "root1")

		roots = "root2"
		changed <- struct{}{}
		settle()
		wantBundles(t, client, "mine", "root2", "root2")
	})
}

func TestCABundlePatchThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset(webhookConfig("mine", "default", "namespace.sidecar-injector.istio.io"))
	failures := 0
	client.PrependReactor("patch", "mutatingwebhookconfigurations", func(clienttesting.Action) (bool, runtime.Object, error) {
		failures++
		return failures <= 3, nil, errors.New("conflict")
	})
	watch := func(ctx context.Context) error {
		return KeepCABundle(ctx, client, "default", Roots{Current: func() []byte { return []byte("root1") }}, nil)
	}
	inBubble(t, watch, func(context.Context) {
		wantBundles(t, client, "mine", "root1")
		if failures != 4 {
			t.Errorf("%d attempts, want 4", failures)
		}
	})
}
