package inject

import (
	"errors"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const chartValuesJSON = `{
  "revision": "",
  "global": {
    "hub": "hub.example", "tag": 1.25, "imagePullPolicy": "IfNotPresent", "imagePullSecrets": ["pull"],
    "network": "network1", "meshID": "mesh1", "istioNamespace": "istio-system",
    "multiCluster": {"clusterName": "cluster1"},
    "proxy": {"image": "proxy", "logLevel": "info", "resources": {"requests": {"cpu": "7m"}}, "excludeInboundPorts": 22}
  },
  "sidecarInjectorWebhook": {"rewriteAppHTTPProbe": false, "injectedAnnotations": {"team": "mesh"}, "unknown": 1}
}`

const meshYAML = `
trustDomain: td1
enablePrometheusMerge: false
someNewField: 1
defaultConfig:
  discoveryAddress: istiod.elsewhere.svc:15012
  proxyMetadata:
    ISTIO_META_DNS_CAPTURE: "false"
`

func injected(t *testing.T, pod *corev1.Pod, in Inputs) (*corev1.Pod, *corev1.Container) {
	t.Helper()
	got, problems := Inject(pod, in)
	if len(problems) > 0 {
		t.Fatal(Describe(problems))
	}
	return got, injectedProxy(&got.Spec)
}

func plainPod(annotations map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "app", Namespace: "sample", Annotations: annotations},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
}

func TestChartValuesAndMeshConfigReachThePod(t *testing.T) {
	t.Parallel()
	in, err := InputsFromConfig([]byte(chartValuesJSON), []byte(meshYAML))
	if err != nil {
		t.Fatal(err)
	}
	pod, proxy := injected(t, plainPod(nil), in)
	for name, want := range map[string]string{
		"ISTIO_META_CLUSTER_ID":  "cluster1",
		"ISTIO_META_NETWORK":     "network1",
		"ISTIO_META_MESH_ID":     "mesh1",
		"TRUST_DOMAIN":           "td1",
		"CA_ADDR":                "istiod.istio-system.svc:15012",
		"ISTIO_META_DNS_CAPTURE": "false",
		"PROXY_CONFIG":           `{"discoveryAddress":"istiod.elsewhere.svc:15012","proxyMetadata":{"ISTIO_META_DNS_CAPTURE":"false"}}`,
	} {
		if got := envOf(proxy, name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if proxy.Image != "hub.example/proxy:1.25" || proxy.ImagePullPolicy != corev1.PullIfNotPresent {
		t.Errorf("image %s, policy %s", proxy.Image, proxy.ImagePullPolicy)
	}
	if pod.Annotations[promScrapeKey] != "" || pod.Annotations["team"] != "mesh" {
		t.Errorf("annotations %v", pod.Annotations)
	}
	if got := pod.Spec.ImagePullSecrets; len(got) != 1 || got[0].Name != "pull" {
		t.Errorf("image pull secrets %v", got)
	}
	capture := strings.Join(pod.Spec.InitContainers[0].Args, " ")
	if strings.Contains(capture, "--capture-dns") || !strings.Contains(capture, "-d 15090,15021,15020,22") {
		t.Errorf("capture args %s", capture)
	}
	if cpu := proxy.Resources.Requests.Cpu().String(); cpu != "7m" || len(proxy.Resources.Limits) != 0 {
		t.Errorf("resources %v", proxy.Resources)
	}
}

// The chart is the other side of InputsFromConfig; its values as they stand must be taken.
func TestTheChartsOwnValuesAreTaken(t *testing.T) {
	t.Parallel()
	chart, err := os.ReadFile("../../charts/istiod/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	in, err := InputsFromConfig(chart, nil)
	if err != nil {
		t.Fatal(err)
	}
	if in.Image != "proxy" || *in.StatusPort != 15020 || *in.StartupTries != 600 || in.Resources.Limits.Memory().String() != "1Gi" {
		t.Errorf("inputs %+v", in)
	}
	pod, _ := injected(t, plainPod(map[string]string{includeOutPortsKey: "*", includeOutRangesKey: "", excludeInterfacesKey: "net1"}), in)
	capture := strings.Join(pod.Spec.InitContainers[0].Args, " ")
	if !strings.HasPrefix(capture, "capture -p 15001 -z 15006 -u 1337 -m REDIRECT -i * -x  -b * -d 15090,15021,15020 -c net1") {
		t.Errorf("capture args %s", capture)
	}
}

func TestConfigThatCannotBeUsedIsAnError(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, values, mesh, want string }{
		{"values are no object", "[]", "", "injector values"},
		{"value of the wrong type", `{"global":{"network":[]}}`, "", "injector values"},
		{"bad mesh-wide CIDR", `{"global":{"proxy":{"includeIPRanges":"10.0.0.1"}}}`, "", "10.0.0.1"},
		{"TPROXY for everybody", "{}", "defaultConfig: {interceptionMode: TPROXY}", "TPROXY"},
		{"network that no label can hold", `{"global":{"network":"net/1"}}`, "", "net/1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := InputsFromConfig([]byte(c.values), []byte(c.mesh))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestBadFieldsOfTheMeshCostOnlyThemselves(t *testing.T) {
	t.Parallel()
	in, err := InputsFromConfig([]byte("{}"), []byte("connectTimeout: soon\ntrustDomain: td1\ndefaultConfig: {meshId: m1}"))
	if err != nil || in.TrustDomain != "td1" || in.MeshID != "m1" {
		t.Errorf("inputs %+v, error %v", in, err)
	}
	if _, err := InputsFromConfig([]byte("{}"), []byte("a: [")); err != nil {
		t.Errorf("a mesh that is no YAML: %v", err)
	}
}

func TestBadValuesCostOnlyThemselves(t *testing.T) {
	t.Parallel()
	in, err := InputsFromConfig([]byte(`{"global":{"network":"network1","proxy":{"statusPort":"x"},"meshID":"m1"}}`), nil)
	if err == nil || errors.Is(err, ErrUnreadable) || in.Network != "network1" || in.MeshID != "m1" {
		t.Errorf("inputs %+v, error %v", in, err)
	}
	if _, err := InputsFromConfig([]byte("{"), nil); !errors.Is(err, ErrUnreadable) {
		t.Errorf("error %v, want one that says that nothing counts", err)
	}
}

func TestRevisionNamesItsOwnControlPlane(t *testing.T) {
	t.Parallel()
	_, proxy := injected(t, plainPod(nil), Inputs{Revision: "canary"})
	if got := envOf(proxy, "CA_ADDR"); got != "istiod-canary.istio-system.svc:15012" {
		t.Errorf("CA_ADDR = %s", got)
	}
}

func TestNetworkPrecedence(t *testing.T) {
	t.Parallel()
	url := map[string]string{"ISTIO_META_NETWORK": "fromURL", "ISTIO_META_CLUSTER_ID": "remote1"}
	cases := []struct {
		name, label string
		env         map[string]string
		want        string
	}{
		{"values", "", nil, "fromValues"},
		{"URL over values", "", url, "fromURL"},
		{"label over URL", "fromLabel", url, "fromLabel"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pod := plainPod(nil)
			if c.label != "" {
				pod.Labels = map[string]string{networkLabel: c.label}
			}
			got, proxy := injected(t, pod, Inputs{Network: "fromValues", Env: c.env})
			if envOf(proxy, "ISTIO_META_NETWORK") != c.want || got.Labels[networkLabel] != c.want {
				t.Errorf("env %s, label %s, want %s", envOf(proxy, "ISTIO_META_NETWORK"), got.Labels[networkLabel], c.want)
			}
			if c.env != nil && envOf(proxy, "ISTIO_META_CLUSTER_ID") != "remote1" {
				t.Errorf("cluster %s", envOf(proxy, "ISTIO_META_CLUSTER_ID"))
			}
		})
	}
}
