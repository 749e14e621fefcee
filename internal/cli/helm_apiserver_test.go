//go:build apiserver

package cli_test

import (
	"log/slog"
	"testing"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	helmkube "helm.sh/helm/v4/pkg/kube"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// The charts are folders that helm takes as they are; `go generate ./charts` has put the definitions into base.
func TestHelmInstallsTheChartsToo(t *testing.T) {
	kubeconfig, client := startAPIServer(t)
	flags := genericclioptions.NewConfigFlags(false)
	namespace := "istio-system"
	flags.KubeConfig, flags.Namespace = &kubeconfig, &namespace
	for _, release := range []struct {
		name, chart string
		values      map[string]any
	}{
		{"istio-base", "base", nil},
		{"istiod", "istiod", map[string]any{"global": map[string]any{"network": "network1"}}},
		{"istio-eastwestgateway", "gateway", map[string]any{"networkGateway": "network1"}},
	} {
		cfg := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
		check(t, cfg.Init(flags, namespace, "secret"))
		install := action.NewInstall(cfg)
		install.ReleaseName, install.Namespace, install.CreateNamespace = release.name, namespace, true
		install.WaitStrategy = helmkube.HookOnlyStrategy
		chart, err := loader.Load("../../charts/" + release.chart)
		check(t, err)
		if _, err := install.RunWithContext(t.Context(), chart, release.values); err != nil {
			t.Fatalf("helm install %s: %v", release.name, err)
		}
	}
	wantDeployments(t, client, "istio-eastwestgateway", "istiod")
	service, err := client.CoreV1().Services(namespace).Get(t.Context(), "istio-eastwestgateway", metav1.GetOptions{})
	check(t, err)
	var ports []int32
	for _, p := range service.Spec.Ports {
		ports = append(ports, p.Port)
	}
	if len(ports) != 4 || ports[1] != 15443 || service.Labels["topology.istio.io/network"] != "network1" {
		t.Errorf("ports %v, labels %v: not a gateway into network1", ports, service.Labels)
	}
	// isthmus must not take what helm made for its own.
	out, exit := command{t, kubeconfig}.run("", "uninstall", "--purge", "-y")
	want(t, out, exit, 0, "No matching Istio resources found")
}
