// Package samples tests the files of this folder as their users have them: the scripts' output and the manifests' labels and
// images. It holds no code of its own.
package samples

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/version"
)

// script runs one of the folder's scripts with only the given environment.
func script(t *testing.T, env []string, file string, args ...string) (stdout, stderr string, ok bool) {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = slices.Concat(env, []string{"PATH=" + os.Getenv("PATH")})
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if err != nil && cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("%s: %v", file, err)
	}
	return out.String(), errs.String(), err == nil
}

// operator is what these tests look at in an IstioOperator.
type operator struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		Revision, Profile string
		Components        struct {
			IngressGateways []struct {
				Name    string
				Enabled bool
				Label   map[string]string
				K8s     struct {
					Env     []struct{ Name, Value string }
					Service struct {
						Ports []struct {
							Name             string
							Port, TargetPort int
						}
					}
				}
			}
		}
		Values map[string]any
	}
}

func eastWest(t *testing.T, env []string, args ...string) operator {
	t.Helper()
	out, errs, ok := script(t, env, "multicluster/gen-eastwest-gateway.sh", args...)
	if !ok || errs != "" {
		t.Fatalf("%v failed: %s", args, errs)
	}
	var o operator
	if err := yaml.Unmarshal([]byte(out), &o); err != nil {
		t.Fatalf("%v: %v in\n%s", args, err, out)
	}
	if o.Kind != "IstioOperator" || o.Metadata.Name != "eastwest" || o.Spec.Profile != "empty" || len(o.Spec.Components.IngressGateways) != 1 {
		t.Fatalf("%v: got\n%s", args, out)
	}
	return o
}

func TestEastWestGatewayOfTheGuide(t *testing.T) {
	t.Parallel()
	o := eastWest(t, nil, "--mesh", "mesh1", "--cluster", "cluster1", "--network", "network1")
	gateway := o.Spec.Components.IngressGateways[0]
	if gateway.Name != "istio-eastwestgateway" || !gateway.Enabled {
		t.Errorf("gateway = %+v", gateway)
	}
	labels := map[string]string{
		"istio": "eastwestgateway", "app": "istio-eastwestgateway", "topology.istio.io/network": "network1",
	}
	if diff := cmp.Diff(labels, gateway.Label); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if env := gateway.K8s.Env; len(env) != 1 || env[0].Name != "ISTIO_META_REQUESTED_NETWORK_VIEW" || env[0].Value != "network1" {
		t.Errorf("env = %v", env)
	}
	ports := map[string]int{}
	for _, port := range gateway.K8s.Service.Ports {
		if port.Port != port.TargetPort {
			t.Errorf("port %s goes from %d to %d", port.Name, port.Port, port.TargetPort)
		}
		ports[port.Name] = port.Port
	}
	if diff := cmp.Diff(map[string]int{"status-port": 15021, "tls": 15443, "tls-istiod": 15012, "tls-webhook": 15017}, ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	values := map[string]any{
		"gateways": map[string]any{"istio-ingressgateway": map[string]any{"injectionTemplate": "gateway"}},
		"global": map[string]any{
			"meshID": "mesh1", "network": "network1", "multiCluster": map[string]any{"clusterName": "cluster1"},
		},
	}
	if diff := cmp.Diff(values, o.Spec.Values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func TestEastWestGatewayTakesEveryGenerationOfFlags(t *testing.T) {
	t.Parallel()
	if o := eastWest(t, nil, "--network=network2", "--revision", "1-8"); o.Spec.Revision != "1-8" {
		t.Errorf("revision = %q", o.Spec.Revision)
	}
	fromEnv := eastWest(t, []string{"NETWORK=n1", "CLUSTER=c1", "MESH=m1"}, "--network", "n2").Spec.Values["global"]
	want := map[string]any{"meshID": "m1", "network": "n2", "multiCluster": map[string]any{"clusterName": "c1"}}
	if diff := cmp.Diff(any(want), fromEnv); diff != "" {
		t.Errorf("values of the environment (-want +got):\n%s", diff)
	}
	gateway := eastWest(t, nil, "--single-cluster").Spec.Components.IngressGateways[0]
	if _, has := gateway.Label["topology.istio.io/network"]; has || len(gateway.K8s.Env) != 0 {
		t.Errorf("a gateway of a single cluster names a network: %+v", gateway)
	}
}

func TestEastWestGatewayFailsWithNothingOnStdout(t *testing.T) {
	t.Parallel()
	cases := []struct {
		want string
		env  []string
		args []string
	}{
		{"Must specify either --single-cluster or --network.", nil, nil},
		{"Must specify either --single-cluster or --network.", nil, []string{"--mesh", "m", "--cluster", "c"}},
		{"--ambient is not supported", nil, []string{"--network", "n", "--ambient"}},
		{"Unsupported flag --networks", nil, []string{"--networks", "n"}},
		{"--network needs a value", nil, []string{"--network"}},
		{"is not a name", nil, []string{"--network", "--mesh"}},
		{"is not a name", []string{"NETWORK=a\"\nb: c"}, nil},
	}
	for _, c := range cases {
		out, errs, ok := script(t, c.env, "multicluster/gen-eastwest-gateway.sh", c.args...)
		if ok || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%v: ok = %t, stdout = %q, stderr = %q, want a failure that says %q", c.args, ok, out, errs, c.want)
		}
	}
}

// object is what these tests look at in a manifest.
type object struct {
	Kind     string
	Metadata struct {
		Name, Namespace string
		Labels          map[string]string
	}
}

func objects(t *testing.T, documents string) []object {
	t.Helper()
	var list []object
	for document := range strings.SplitSeq(documents, "\n---\n") {
		var o object
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			t.Fatal(err)
		}
		list = append(list, o)
	}
	return list
}

// selected returns the names of the objects that kubectl's -l takes, kind first.
func selected(list []object, label, value string) []string {
	var names []string
	for _, o := range list {
		if o.Metadata.Labels[label] == value {
			names = append(names, o.Kind+"/"+o.Metadata.Name)
		}
	}
	return names
}

func TestHelloworldCanBeInstalledInParts(t *testing.T) {
	t.Parallel()
	body, err := os.ReadFile("helloworld/helloworld.yaml")
	if err != nil {
		t.Fatal(err)
	}
	list := objects(t, string(body))
	cases := []struct{ label, value, want string }{
		{"app", "helloworld", "Service/helloworld"},
		{"service", "helloworld", "Service/helloworld"},
		{"version", "v1", "Deployment/helloworld-v1"},
		{"version", "v2", "Deployment/helloworld-v2"},
	}
	for _, c := range cases {
		if diff := cmp.Diff([]string{c.want}, selected(list, c.label, c.value)); diff != "" {
			t.Errorf("-l %s=%s (-want +got):\n%s", c.label, c.value, diff)
		}
	}
}

func TestGenHelloworldPrintsTheVersionThatIsAskedFor(t *testing.T) {
	t.Parallel()
	out, errs, ok := script(t, nil, "helloworld/gen-helloworld.sh", "--version", "canary", "--includeService", "false")
	if list := objects(t, out); !ok || len(list) != 1 || list[0].Metadata.Name != "helloworld-canary" {
		t.Errorf("got %s%s", out, errs)
	}
	if out, errs, ok := script(t, nil, "helloworld/gen-helloworld.sh", "--version", "a: b"); ok || out != "" || errs == "" {
		t.Errorf("a version that is no name gave %q, %q", out, errs)
	}
}

func TestExposeServicesLeavesTheNamespaceToTheUser(t *testing.T) {
	t.Parallel()
	body, err := os.ReadFile("multicluster/expose-services.yaml")
	if err != nil {
		t.Fatal(err)
	}
	list := objects(t, string(body))
	if len(list) != 1 || list[0].Kind != "Gateway" || list[0].Metadata.Name != "cross-network-gateway" || list[0].Metadata.Namespace != "" {
		t.Errorf("objects = %+v", list)
	}
}

func TestSamplesNameTheImagesOfThisVersion(t *testing.T) {
	t.Parallel()
	image := regexp.MustCompile(`(?m)^ *image: (.*)$`)
	want := regexp.MustCompile("^" + regexp.QuoteMeta(version.Hub) + "/[a-z0-9-]+:" + regexp.QuoteMeta(version.Version) + "$")
	seen := 0
	for _, pattern := range []string{"*/*.yaml", "*/*.sh"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range image.FindAllStringSubmatch(string(body), -1) {
				seen++
				if !want.MatchString(match[1]) {
					t.Errorf("%s: image %s is not one of this version", file, match[1])
				}
			}
		}
	}
	if seen < 4 {
		t.Errorf("found %d images; the test looks in the wrong place", seen)
	}
}
