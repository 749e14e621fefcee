package install_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/api/operator"
	"github.com/isthmus-mesh/isthmus/internal/inject"
	"github.com/isthmus-mesh/isthmus/internal/install"
)

// Documents in one of which each field can show its effect.
const (
	plain = `
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  components:
    ingressGateways: [{name: mine, enabled: true}]
`
	gatewayAlone = `
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  profile: empty
  components:
    ingressGateways: [{name: mine, enabled: true}]
`
	everythingOn = `
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  components:
    ingressGateways: [{name: istio-ingressgateway, enabled: true}]
  values:
    global: {configValidation: true}
    pilot: {autoscaleEnabled: true, autoscaleMin: 2}
    gateways:
      istio-ingressgateway: {autoscaleEnabled: true}
`
)

// elsewhere are fields that show nothing here.
var elsewhere = map[string]string{
	"spec.installPackagePath":                 "the command line reads it",
	"spec.values.global.multiCluster.enabled": "it states an intent, which naming the cluster does too",
}

// leaf is one field of the schema: where it is in a document, and its type.
type leaf struct {
	path string // as a Problem has it
	of   reflect.Type
}

// leaves walks the types of package operator down to what is of another package.
func leaves(path string, t reflect.Type) []leaf {
	switch t {
	case reflect.TypeFor[operator.RawValues]():
		t = reflect.TypeFor[operator.Values]()
	case reflect.TypeFor[map[string]operator.GatewayValues]():
		return leaves(path+".istio-ingressgateway", t.Elem())
	case reflect.TypeFor[[]operator.Gateway]():
		return leaves(path+"[0]", t.Elem())
	}
	if t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeFor[operator.Spec]().PkgPath() && t.Name() != "" {
		return []leaf{{path, t}}
	}
	var out []leaf
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Tag.Get("unsupported") == "" {
			out = append(out, leaves(path+"."+name, f.Type)...)
		}
	}
	return out
}

// samples are values for types, and for the few fields that take no other one.
var samples = map[string]string{
	"*int32": "7", "*float64": "7", "string": "other", "interface {}": "other",
	"[]string": "[other]", "map[string]string": "{other: a}", "map[string]interface {}": "{other: a}",
	"operator.MeshConfig": "{trustDomain: other}", "*v1.ResourceRequirements": "{limits: {cpu: 7}}", "[]v1.EnvVar": "[{name: OTHER, value: a}]",
	"[]v1.Toleration": "[{key: other}]", "*v1.Affinity": "{podAffinity: {}, nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {}}]}}",
	"[]v1.TopologySpreadConstraint": "[{maxSkew: 1, topologyKey: other, whenUnsatisfiable: DoNotSchedule}]", "*v2.HorizontalPodAutoscalerSpec": "{maxReplicas: 7}",
	"*v1.PodDisruptionBudgetSpec": "{minAvailable: 7}", "*v1.ServiceSpec": "{clusterIP: None}", "*v1.DeploymentStrategy": "{type: Recreate}",
	"[]operator.Overlay": "[{kind: Pod, name: other, patches: [{path: a, value: b}]}]", "[]v1.ServicePort": "[{name: other, port: 7}]",
	"*v1.Lifecycle": "{preStop: {sleep: {seconds: 7}}}", "[]v1.Volume": "[{name: other, emptyDir: {}}]",
	"[]v1.VolumeMount": "[{name: other, mountPath: /other}]", "[]interface {}": "[{matchLabels: {other: a}}]",

	"spec.profile": "empty", "spec.unvalidatedValues": "{global: {network: other}}",
	"spec.components.base.k8s.overlays":        "[{kind: Pod, name: other, patches: [{path: a, value: b}]}]",
	"spec.components.base.k8s.imagePullPolicy": "Always",
	"spec.values.base.excludedCRDs":            "[gateways.networking.istio.io]",
	"spec.values.global.proxy.logLevel":        "debug", "spec.values.global.proxy.componentLogLevel": "upstream:debug",
	"spec.values.global.proxy.autoInject": "disabled", "spec.values.global.caAddress": "other:15012",
	"spec.values.global.proxy.includeIPRanges": "10.0.0.0/8", "spec.values.global.proxy.excludeIPRanges": "10.0.0.0/8",
	"spec.values.global.proxy.includeInboundPorts": "'7'", "spec.values.global.proxy.excludeInboundPorts": "'7'",
	"spec.values.global.proxy.includeOutboundPorts": "'7'", "spec.values.global.proxy.excludeOutboundPorts": "'7'",
}

// values are what to try for a field.
func (l leaf) values(t *testing.T) []any {
	t.Helper()
	if l.of == reflect.TypeFor[*bool]() {
		return []any{true, false}
	}
	text, ok := samples[l.path]
	if !ok {
		text, ok = samples[l.of.String()]
	}
	if !ok {
		t.Fatalf("%s: no sample of type %s", l.path, l.of)
	}
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return []any{value}
}

// with is a document with the field set.
func (l leaf) with(doc map[string]any, value any) map[string]any {
	return setField(doc, strings.Split(strings.ReplaceAll(l.path, "[0]", ".0"), "."), value).(map[string]any)
}

func setField(node any, steps []string, value any) any {
	if len(steps) == 0 {
		return value
	}
	if steps[0] == "0" {
		list := append([]any(nil), node.([]any)...)
		list[0] = setField(list[0], steps[1:], value)
		return list
	}
	out := map[string]any{}
	fields, _ := node.(map[string]any)
	for k, v := range fields {
		out[k] = v
	}
	out[steps[0]] = setField(out[steps[0]], steps[1:], value)
	return out
}

// effect is all that comes out of a document.
type effect struct {
	objects      string // but for the injector's values; or the error
	values, mesh string // what the injector is given
}

// differs compares the injector's values as the injector reads them, since all values of the chart are among them.
func (e effect) differs(other effect) bool {
	return e.objects != other.objects || e.values != other.values && e.read() != other.read()
}

func (e effect) read() string {
	inputs, err := inject.InputsFromConfig([]byte(e.values), []byte(e.mesh))
	read, _ := json.Marshal(inputs)
	return fmt.Sprint(string(read), err)
}

func effectOf(t *testing.T, charts fs.FS, doc map[string]any) effect {
	t.Helper()
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := install.Resolve(install.Input{
		Profiles: profiles(t), Files: []install.Source{{Name: "test.yaml", Data: data}},
	})
	if err != nil {
		return effect{objects: err.Error()}
	}
	if len(plan.Problems) > 0 {
		return effect{objects: fmt.Sprint(plan.Problems)} // a value that is refused has been read
	}
	parts, err := install.Render(charts, plan)
	if err != nil {
		return effect{objects: err.Error()}
	}
	var out effect
	for name, o := range objectsOf(t, parts) {
		data, _ := o.Object["data"].(map[string]any)
		if strings.HasPrefix(name, "ConfigMap/istio-sidecar-injector") {
			out.values = data["values"].(string)
			delete(o.Object, "data")
		} else if o.GetKind() == "ConfigMap" {
			out.mesh = data["mesh"].(string)
		}
	}
	objects, err := json.Marshal(parts)
	if err != nil {
		t.Fatal(err)
	}
	out.objects = string(objects)
	return out
}

func TestEverySettingHasAnEffectOrSaysThatItHasNone(t *testing.T) {
	t.Parallel()
	charts := withoutDefinitions(t)
	type state struct {
		doc    map[string]any
		effect effect
	}
	installed := func(text string) state {
		var doc map[string]any
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		return state{doc, effectOf(t, charts, doc)}
	}
	gateway, whole := installed(gatewayAlone), []state{installed(everythingOn), installed(plain)}
	for _, l := range leaves("spec", reflect.TypeFor[operator.Spec]()) {
		// What is written of ingress gateways is of egress gateways too: one type, one function.
		if elsewhere[l.path] != "" || strings.Contains(l.path, ".egressGateways") {
			continue
		}
		t.Run(l.path, func(t *testing.T) {
			t.Parallel()
			works, warned := false, false
			states := whole
			if strings.Contains(l.path, "ateways") { // a gateway takes a tenth of the time of everything
				states = append([]state{gateway}, whole...)
			}
			for _, s := range states {
				for _, value := range l.values(t) {
					changed := l.with(s.doc, value)
					warned = warned || len(operator.NoEffect(changed)) > 0
					works = works || effectOf(t, charts, changed).differs(s.effect)
				}
			}
			if works == warned {
				t.Errorf("it changes something: %v; it is listed as without effect: %v", works, warned)
			}
		})
	}
}
