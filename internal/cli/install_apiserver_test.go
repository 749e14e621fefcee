//go:build apiserver

package cli_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/isthmus-mesh/isthmus/internal/cli"
	"github.com/isthmus-mesh/isthmus/internal/install"
)

const cluster1 = `apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  values:
    global:
      meshID: mesh1
      multiCluster:
        clusterName: cluster1
      network: network1
`

// eastWest says network2, as a published guide does for a cluster of network1.
const eastWest = `apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata:
  name: eastwest
spec:
  profile: empty
  components:
    ingressGateways:
      - name: istio-eastwestgateway
        enabled: true
        label: {istio: eastwestgateway, app: istio-eastwestgateway, topology.istio.io/network: network2}
        k8s:
          env: [{name: ISTIO_META_REQUESTED_NETWORK_VIEW, value: network2}]
          service:
            ports:
              - {name: status-port, port: 15021, targetPort: 15021}
              - {name: tls, port: 15443, targetPort: 15443}
  values:
    gateways: {istio-ingressgateway: {injectionTemplate: gateway}}
    global: {network: network2}
`

// command runs the command line as a user would.
type command struct {
	t          *testing.T
	kubeconfig string
}

func (c command) run(stdin string, args ...string) (stdout string, exit int) {
	c.t.Helper()
	var out, errs bytes.Buffer
	root := cli.New("istioctl", cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	root.SetArgs(append([]string{"--kubeconfig", c.kubeconfig}, args...))
	err := root.ExecuteContext(c.t.Context())
	c.t.Logf("$ istioctl %s\n%s%s%v", strings.Join(args, " "), out.String(), errs.String(), err)
	var coded interface{ ExitCode() int }
	switch {
	case err == nil:
		return out.String(), 0
	case errors.As(err, &coded):
		return out.String() + err.Error(), coded.ExitCode()
	}
	return out.String() + err.Error(), 1
}

// playController makes every Deployment ready, as the controllers of a real cluster would.
func playController(ctx context.Context, t *testing.T, client kubernetes.Interface) {
	watch, err := client.AppsV1().Deployments("").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Error(err)
		return
	}
	defer watch.Stop()
	for event := range watch.ResultChan() {
		d, ok := event.Object.(*appsv1.Deployment)
		if !ok || d.Status.ObservedGeneration == d.Generation {
			continue
		}
		n := *d.Spec.Replicas
		d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n}
		_, err := client.AppsV1().Deployments(d.Namespace).UpdateStatus(ctx, d, metav1.UpdateOptions{})
		if err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	}
}

func TestInstallOnARealAPIServer(t *testing.T) {
	kubeconfig, client := startAPIServer(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); playController(ctx, t, client) }()
	t.Cleanup(func() { stop(); <-done })
	file := filepath.Join(t.TempDir(), "cluster1.yaml")
	if err := os.WriteFile(file, []byte(cluster1), 0o600); err != nil {
		t.Fatal(err)
	}
	// The guides make the namespace before, for the Secret cacerts.
	if _, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "istio-system"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	t.Run("no answer installs nothing", func(t *testing.T) {
		istioctl := command{t, kubeconfig}
		out, exit := istioctl.run("", "install", "--context=cluster1", "-f", file)
		want(t, out, exit, 1, `This will install the Istio 0.1.0 profile "default" into the cluster. Proceed? (y/N) `, "Cancelled.")
		wantDeployments(t, client)
	})
	t.Run("dry run installs nothing", func(t *testing.T) {
		istioctl := command{t, kubeconfig}
		out, exit := istioctl.run("", "install", "--dry-run", "-f", file)
		want(t, out, exit, 0, "nothing was changed")
		wantDeployments(t, client)
	})
	t.Run("yes installs in waves", func(t *testing.T) {
		istioctl := command{t, kubeconfig}
		out, exit := istioctl.run("maybe\nYes\n", "--context=cluster1", "install", "-f", file)
		want(t, out, exit, 0, "labelled topology.istio.io/network=network1",
			"✔ Istio core installed\n", "✔ Istiod installed\n", "✔ Ingress gateways installed\n", "✔ Installation complete\n")
		wantDeployments(t, client, "istio-ingressgateway", "istiod")
	})
	t.Run("a gateway from standard input touches nothing else", func(t *testing.T) {
		istioctl := command{t, kubeconfig}
		before := state(t, kubeconfig)
		out, exit := istioctl.run(eastWest, "install", "-y", "-f", "-")
		want(t, out, exit, 0, "✔ Ingress gateways installed\n", "✔ Installation complete\n")
		if strings.Contains(out, "Istiod") || strings.Contains(out, "Removed") {
			t.Errorf("it did more than the gateway:\n%s", out)
		}
		after := state(t, kubeconfig)
		for name, version := range before {
			if after[name] != version {
				t.Errorf("%s changed", name)
			}
		}
		if len(before) < 30 { // the definitions alone are more than half of them
			t.Errorf("only %d objects were looked at", len(before))
		}
		wantDeployments(t, client, "istio-eastwestgateway", "istio-ingressgateway", "istiod")
	})
	t.Run("the same file again changes nothing and keeps the gateway", func(t *testing.T) {
		istioctl := command{t, kubeconfig}
		hooks := client.AdmissionregistrationV1().MutatingWebhookConfigurations()
		hook, err := hooks.Get(ctx, "istio-sidecar-injector", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range hook.Webhooks { // as istiod does
			hook.Webhooks[i].ClientConfig.CABundle = []byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
		}
		if _, err := hooks.Update(ctx, hook, metav1.UpdateOptions{FieldManager: "istiod"}); err != nil {
			t.Fatal(err)
		}
		before := state(t, kubeconfig)
		out, exit := istioctl.run("", "manifest", "apply", "-y", "-f", file)
		want(t, out, exit, 0, "✔ Installation complete\n")
		for name, version := range state(t, kubeconfig) {
			if before[name] != version {
				t.Errorf("%s changed", name)
			}
		}
		wantDeployments(t, client, "istio-eastwestgateway", "istio-ingressgateway", "istiod")
	})
	t.Run("what the file no longer has is pruned", func(t *testing.T) {
		istioctl := command{t, kubeconfig}
		out, exit := istioctl.run("", "install", "--dry-run", "-f", file, "--set", "profile=minimal")
		want(t, out, exit, 0, "  Would remove Deployment/istio-ingressgateway.istio-system.\n", "nothing was changed")
		wantDeployments(t, client, "istio-eastwestgateway", "istio-ingressgateway", "istiod")
		out, exit = istioctl.run("", "install", "-y", "-f", file, "--set", "profile=minimal")
		want(t, out, exit, 0, "- Pruning removed resources\n", "  Removed Deployment/istio-ingressgateway.istio-system.\n")
		wantDeployments(t, client, "istio-eastwestgateway", "istiod")
	})
	t.Run("version counts what runs", func(t *testing.T) {
		istioctl := command{t, kubeconfig}
		out, exit := istioctl.run("", "version")
		want(t, out, exit, 0, "client version: 0.1.0\n")
	})
	t.Run("an unknown revision cannot be removed", func(t *testing.T) {
		istioctl := command{t, kubeconfig}
		out, exit := istioctl.run("", "uninstall", "-y", "--revision", "canary")
		want(t, out, exit, 1, "could not find target revision canary")
	})
	t.Run("uninstall by file leaves the other gateway", func(t *testing.T) {
		istioctl := command{t, kubeconfig}
		out, exit := istioctl.run("", "uninstall", "-y", "-f", file)
		want(t, out, exit, 0, "  Removed Deployment/istiod.istio-system.\n", "✔ Uninstall complete\n")
		wantDeployments(t, client, "istio-eastwestgateway")
	})
	t.Run("uninstall by file knows the revision of the file", func(t *testing.T) {
		istioctl := command{t, kubeconfig}
		canary := filepath.Join(t.TempDir(), "canary.yaml")
		check(t, os.WriteFile(canary, []byte(cluster1+"  revision: canary\n  profile: minimal\n"), 0o600))
		out, exit := istioctl.run("", "install", "-y", "-f", canary)
		want(t, out, exit, 0, "✔ Istiod installed\n")
		// It has no proxies, so nobody is asked.
		out, exit = istioctl.run("", "uninstall", "-f", canary)
		want(t, out, exit, 0, "  Removed Deployment/istiod-canary.istio-system.\n", "✔ Uninstall complete\n")
		wantDeployments(t, client, "istio-eastwestgateway")
	})
	t.Run("purge removes everything but the namespace", func(t *testing.T) {
		istioctl := command{t, kubeconfig}
		out, exit := istioctl.run("n\n", "uninstall", "--purge")
		want(t, out, exit, 1, "All Istio resources will be pruned from the cluster", "Cancelled.")
		out, exit = istioctl.run("y\n", "uninstall", "--purge")
		want(t, out, exit, 0, "  Removed CustomResourceDefinition/gateways.networking.istio.io.\n", "✔ Uninstall complete\n")
		wantDeployments(t, client)
		if _, err := client.CoreV1().Namespaces().Get(ctx, "istio-system", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
		out, exit = istioctl.run("y\n", "uninstall", "--purge")
		want(t, out, exit, 0, "No matching Istio resources found")
	})
}

func TestInstallSaysWhyItIsNotReady(t *testing.T) {
	kubeconfig, client := startAPIServer(t)
	// Nobody makes pods here, so istiod never gets ready; one is put in by hand, as a kubelet would report it.
	ctx := t.Context()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "istiod-1", Namespace: "istio-system", Labels: map[string]string{"app": "istiod", "istio": "pilot"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "discovery", Image: "x"}}},
	}
	for _, name := range []string{"istio-system"} {
		if _, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: "istio-system"}}
	if _, err := client.CoreV1().ServiceAccounts("istio-system").Create(ctx, account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	made, err := client.CoreV1().Pods("istio-system").Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "discovery", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}},
	}}
	if _, err := client.CoreV1().Pods("istio-system").UpdateStatus(ctx, made, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	out, exit := command{t, kubeconfig}.run("", "install", "-y", "--set", "profile=minimal", "--readiness-timeout", "3s")
	want(t, out, exit, 1, "✔ Istio core installed\n", "Waiting for Deployment/istio-system/istiod", "✘ Istiod encountered an error: resources not ready after 3s",
		"Deployment/istio-system/istiod: ", "pod istiod-1: container discovery: ImagePullBackOff: no such image")
}

func want(t *testing.T, out string, exit, wantExit int, texts ...string) {
	t.Helper()
	if exit != wantExit {
		t.Fatalf("exit code %d, want %d", exit, wantExit)
	}
	rest := out
	for _, text := range texts {
		_, after, found := strings.Cut(rest, text)
		if !found {
			t.Fatalf("output lacks %q, or has it in another place:\n%s", text, out)
		}
		rest = after
	}
}

// state is the version of every object that the installer made, and of the namespaces.
func state(t *testing.T, kubeconfig string) map[string]string {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	check(t, err)
	client, err := metadata.NewForConfig(cfg)
	check(t, err)
	out := map[string]string{}
	list := func(kind schema.GroupVersionKind, selector string) {
		resource, _ := meta.UnsafeGuessKindToResource(kind)
		found, err := client.Resource(resource).List(t.Context(), metav1.ListOptions{LabelSelector: selector})
		check(t, err)
		for _, o := range found.Items {
			out[kind.Kind+" "+o.Namespace+"/"+o.Name] = o.ResourceVersion
		}
	}
	for _, kind := range append([]schema.GroupVersionKind{install.CRDKind}, install.Kinds...) {
		list(kind, "operator.istio.io/component")
	}
	list(corev1.SchemeGroupVersion.WithKind("Namespace"), "")
	return out
}

func wantDeployments(t *testing.T, client kubernetes.Interface, names ...string) {
	t.Helper()
	list, err := client.AppsV1().Deployments("istio-system").List(t.Context(), metav1.ListOptions{})
	check(t, err)
	var got []string
	for _, d := range list.Items {
		got = append(got, d.Name)
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("deployments %v, want %v", got, names)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
