package webhook

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/isthmus-mesh/isthmus/internal/inject"
)

const values = `{"global":{"hub":"hub.example","tag":"1","network":"network1","multiCluster":{"clusterName":"cluster1"}}}`

func serve(t *testing.T, o InjectorOptions) string {
	t.Helper()
	if o.Config == nil {
		o.Config = &Config{}
		if err := o.Config.Set([]byte(values), nil); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	NewInjector(o).Register(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// post sends a body and returns the HTTP status and the answer.
func post(t *testing.T, url, contentType string, body []byte) (int, []byte) {
	t.Helper()
	response, err := http.Post(url, contentType, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

// review asks the server to admit a pod, in the words of an API server.
func review(t *testing.T, url, pod string) *admissionv1.AdmissionResponse {
	t.Helper()
	body, err := os.ReadFile("testdata/review.json")
	if err != nil {
		t.Fatal(err)
	}
	code, answer := post(t, url, "application/json; charset=utf-8", bytes.ReplaceAll(body, []byte(`"POD"`), []byte(pod)))
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(answer, &review); err != nil || code != http.StatusOK {
		t.Fatalf("HTTP %d: %s (%v)", code, answer, err)
	}
	if review.APIVersion != "admission.k8s.io/v1" || review.Kind != "AdmissionReview" || review.Response.UID != "705ab4f5" {
		t.Fatalf("answer is no v1 review for the request: %s", answer)
	}
	return review.Response
}

const createdPod = `{
  "kind": "Pod", "apiVersion": "v1",
  "metadata": {"generateName": "web-7d-", "labels": {"app": "web"}, "creationTimestamp": null, "managedFields": [{"manager": "kubectl", "operation": "Update", "apiVersion": "v1"}]},
  "spec": {
    "fieldOfTheFuture": {"a": 1},
    "containers": [{"name": "web", "image": "web", "resources": {}, "newerField": true,
      "readinessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "futureProbeField": 3}}],
    "initContainers": [{"name": "setup", "image": "setup", "resources": {}, "alsoNew": "x"}],
    "hostNetwork": false
  },
  "status": {}
}`

func TestPatchMakesThePodThatInjectMakes(t *testing.T) {
	t.Parallel()
	for _, native := range []bool{false, true} {
		url := serve(t, InjectorOptions{NativeSidecars: func() bool { return native }})
		response := review(t, url+"/inject/cluster/remote1/net/net2", createdPod)
		if !response.Allowed || response.PatchType == nil || *response.PatchType != admissionv1.PatchTypeJSONPatch {
			t.Fatalf("response %+v", response)
		}
		got := applied(t, response.Patch)

		in, err := inject.InputsFromConfig([]byte(values), nil)
		if err != nil {
			t.Fatal(err)
		}
		in.NativeSidecar = native
		in.Env = map[string]string{"ISTIO_META_CLUSTER_ID": "remote1", "ISTIO_META_NETWORK": "net2"}
		var pod, result corev1.Pod
		if err := json.Unmarshal([]byte(createdPod), &pod); err != nil {
			t.Fatal(err)
		}
		pod.Namespace = "sample"
		want, problems := inject.Inject(&pod, in)
		if len(problems) > 0 {
			t.Fatal(inject.Describe(problems))
		}
		want.Namespace = ""
		if err := json.Unmarshal(got, &result); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, &result); diff != "" {
			t.Errorf("native=%v: patched pod differs (-Inject +patched):\n%s", native, diff)
		}
	}
}

func applied(t *testing.T, patch []byte) []byte {
	t.Helper()
	operations, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		t.Fatal(err)
	}
	got, err := operations.Apply([]byte(createdPod))
	if err != nil {
		t.Fatalf("the patch does not apply: %v\n%s", err, patch)
	}
	return got
}

// An API server may be newer than istiod: fields that this build does not know must come through.
func TestFieldsOfNewerKubernetesSurvive(t *testing.T) {
	t.Parallel()
	url := serve(t, InjectorOptions{NativeSidecars: func() bool { return true }})
	var got map[string]any
	if err := json.Unmarshal(applied(t, review(t, url+"/inject", createdPod).Patch), &got); err != nil {
		t.Fatal(err)
	}
	spec := got["spec"].(map[string]any)
	web := named(spec["containers"].([]any), "web").(map[string]any)
	setup := named(spec["initContainers"].([]any), "setup").(map[string]any)
	probe := web["readinessProbe"].(map[string]any)
	if spec["fieldOfTheFuture"] == nil || web["newerField"] != true || setup["alsoNew"] != "x" || probe["futureProbeField"] != 3.0 {
		t.Errorf("a field is gone: %v", spec)
	}
	if got["metadata"].(map[string]any)["managedFields"] == nil {
		t.Error("managedFields are the API server's and were taken away")
	}
	for _, c := range spec["initContainers"].([]any)[:2] {
		if c.(map[string]any)["alsoNew"] != nil {
			t.Errorf("an unknown field went to another container: %v", c)
		}
	}
}

func TestPodsThatAreLeftAlone(t *testing.T) {
	t.Parallel()
	url := serve(t, InjectorOptions{})
	pod := strings.Replace(createdPod, `"hostNetwork": false`, `"hostNetwork": true`, 1)
	response := review(t, url+"/inject", pod)
	if !response.Allowed || response.Patch != nil || !strings.Contains(response.AuditAnnotations["skipped"], "hostNetwork") {
		t.Errorf("response %+v", response)
	}
}

func TestDenialsNameAnnotationValueAndFix(t *testing.T) {
	t.Parallel()
	url := serve(t, InjectorOptions{})
	pod := strings.Replace(createdPod, `"labels"`, `"annotations": {"sidecar.istio.io/proxyCPU": "much"}, "labels"`, 1)
	response := review(t, url+"/inject", pod)
	if response.Allowed || response.Patch != nil || response.Result == nil || response.Result.Code != http.StatusUnprocessableEntity {
		t.Fatalf("response %+v", response)
	}
	for _, want := range []string{"sidecar.istio.io/proxyCPU", `"much"`, "100m"} {
		if !strings.Contains(response.Result.Message, want) {
			t.Errorf("message lacks %s: %s", want, response.Result.Message)
		}
	}
}

func TestRequestsThatAreNoReviews(t *testing.T) {
	t.Parallel()
	url := serve(t, InjectorOptions{})
	cases := []struct {
		name, path, contentType, body string
		want                          int
	}{
		{"other content type", "/inject", "text/plain", "{}", http.StatusUnsupportedMediaType},
		{"no body", "/inject", "application/json", "", http.StatusBadRequest},
		{"no JSON", "/inject", "application/json", "{", http.StatusBadRequest},
		{"other version", "/inject", "application/json", `{"apiVersion":"admission.k8s.io/v1beta1","request":{}}`, http.StatusBadRequest},
		{"no request", "/inject", "application/json", `{"apiVersion":"admission.k8s.io/v1"}`, http.StatusBadRequest},
		{"too large", "/inject", "application/json", strings.Repeat(" ", maxBody+1), http.StatusRequestEntityTooLarge},
		{"path that is no environment", "/inject/a=b/c", "application/json", "{}", http.StatusBadRequest},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if code, answer := post(t, url+c.path, c.contentType, []byte(c.body)); code != c.want {
				t.Errorf("got %d %s, want %d", code, answer, c.want)
			}
		})
	}
	if response, err := http.Get(url + "/inject"); err != nil || response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %v %v", response, err)
	}
}

func TestBeforeConfigurationAndAfterPanicTheServerAnswers(t *testing.T) {
	t.Parallel()
	unready := review(t, serve(t, InjectorOptions{Config: &Config{}})+"/inject", createdPod)
	if unready.Allowed || unready.Result.Code != http.StatusServiceUnavailable {
		t.Errorf("without configuration: %+v", unready)
	}
	broken := review(t, serve(t, InjectorOptions{NativeSidecars: func() bool { panic("nodes") }})+"/inject", createdPod)
	if broken.Allowed || broken.Result.Code != http.StatusInternalServerError || !strings.Contains(broken.Result.Message, "nodes") {
		t.Errorf("after a panic: %+v", broken)
	}
}

func TestMetricsCountOutcomes(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	url := serve(t, InjectorOptions{Metrics: registry})
	review(t, url+"/inject", createdPod)
	review(t, url+"/inject", strings.Replace(createdPod, `"hostNetwork": false`, `"hostNetwork": true`, 1))
	post(t, url+"/inject", "application/json", nil)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		got[family.GetName()] = family.GetMetric()[0].GetCounter().GetValue() + float64(family.GetMetric()[0].GetHistogram().GetSampleCount())
	}
	want := map[string]float64{
		"sidecar_injection_requests_total": 3, "sidecar_injection_success_total": 1, "sidecar_injection_failure_total": 1,
		"sidecar_injection_skip_total": 1, "sidecar_injection_time_seconds": 3,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPathForms(t *testing.T) {
	t.Parallel()
	type env = map[string]string
	cases := []struct {
		path string
		want env
	}{
		{"/inject", nil},
		{"/inject/", nil},
		{"/inject/cluster/c1/net/n1", env{"ISTIO_META_CLUSTER_ID": "c1", "ISTIO_META_NETWORK": "n1"}},
		{"/inject/cluster/a--slash--b", env{"ISTIO_META_CLUSTER_ID": "a/b"}},
		{"/inject/cluster/c1/net", env{"ISTIO_META_CLUSTER_ID": "c1"}},
		{"/inject/my_var/x", env{"MY_VAR": "x"}},
		{"/inject/:ENV:cluster=c1:ENV:net=n1", env{"ISTIO_META_CLUSTER_ID": "c1", "ISTIO_META_NETWORK": "n1"}},
		{"/inject/:ENV:A=b=c", env{"A": "b=c"}},
	}
	for _, c := range cases {
		t.Run(c.path, func(t *testing.T) {
			t.Parallel()
			got, err := envFromPath(c.path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
