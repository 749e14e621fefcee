package operator_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/api/operator"
)

func TestCheckNamesEveryProblemWithPathAndFix(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, spec string
		want       []string
	}{
		{"an empty document", ``, nil},
		{"what the multicluster guide writes", `values: {global: {meshID: mesh1, multiCluster: {clusterName: cluster1}, network: network1}}`, nil},
		{"a misspelt field", `profil: demo`, []string{`spec.profil: unknown field; did you mean "profile"?`}},
		{"a field in other letters", `values: {global: {meshid: m}}`, []string{`spec.values.global.meshid: unknown field; did you mean "meshID"?`}},
		{"the right field at the wrong level", `values: {network: n}`, []string{`spec.values.network: unknown field; did you mean spec.values.global.network?`}},
		{"a word like nothing", `qqqqqqqqqq: 1`, []string{`spec.qqqqqqqqqq: unknown field`}},
		{"several at once", `{revison: a, hubb: b}`, []string{
			`spec.hubb: unknown field; did you mean "hub"?`,
			`spec.revison: unknown field; did you mean "revision"?`,
		}},
		{"a number for a string", `tag: 1.8`, []string{`spec.tag: must be a string, is a number; put it in quotes: "1.8"`}},
		{"a map for a list", `components: {ingressGateways: {name: a}}`, []string{`spec.components.ingressGateways: must be a list, is a map`}},
		{"a string for a switch", `components: {base: {enabled: "yes"}}`, []string{`spec.components.base.enabled: must be true or false, is a string`}},
		{"an environment value that is a number", `components: {pilot: {k8s: {env: [{name: A, value: 5}]}}}`, []string{`spec.components.pilot.k8s.env[0].value: must be a string, is a number; put it in quotes: "5"`}},
		{"a fraction of a replica", `components: {pilot: {k8s: {replicaCount: 1.5}}}`, []string{`spec.components.pilot.k8s.replicaCount: must be a whole number, is a number`}},
		{"a port by number and by name", `components: {ingressGateways: [{k8s: {service: {ports: [{targetPort: 80}, {targetPort: http}]}}}]}`, nil},
		{"a bad quantity", `values: {pilot: {resources: {requests: {cpu: lots}}}}`, []string{`spec.values.pilot.resources.requests.cpu: lots is not a quantity; write it like 100m, 0.5, 128Mi`}},
		{"a field of a Kubernetes type", `components: {pilot: {k8s: {env: [{nam: A}]}}}`, []string{`spec.components.pilot.k8s.env[0].nam: unknown field; did you mean "name"?`}},
		{"an unknown mesh setting", `meshConfig: {trustDomian: x}`, []string{`spec.meshConfig.trustDomian: unknown field; did you mean "trustDomain"?`}},
		{"a mesh setting by its proto name", `meshConfig: {trust_domain: x, defaultConfig: {proxyMetadata: {A: b}}}`, nil},
		{"a mesh setting of the wrong type", `meshConfig: {trustDomain: 5, serviceSettings: {}}`, []string{
			`spec.meshConfig.serviceSettings: must be a list, is a map`,
			`spec.meshConfig.trustDomain: must be a string, is a number; put it in quotes: "5"`,
		}},
		{"an unknown word of an enum", `meshConfig: {outboundTrafficPolicy: {mode: REGISTRY_ONLI}}`, []string{`spec.meshConfig.outboundTrafficPolicy.mode: "REGISTRY_ONLI" is none of its values; did you mean "REGISTRY_ONLY"?`}},
		{"durations are left to istiod", `meshConfig: {connectTimeout: 10s}`, nil},
		{"an old feature that is switched off", `{addonComponents: {prometheus: {enabled: false}}, components: {cni: {enabled: false}}}`, nil},
		{"an old feature that is switched on", `addonComponents: {prometheus: {enabled: true}}`, []string{`spec.addonComponents: not supported: add-ons are not yet supported`}},
		{"a remote installation", `values: {global: {remotePilotAddress: 192.0.2.1}}`, []string{`spec.values.global.remotePilotAddress: not supported: remote installations are not yet supported`}},
		{"what is not to be checked", `unvalidatedValues: {anything: {goes: 1}}`, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var spec any
			if err := yaml.Unmarshal([]byte(c.spec), &spec); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range operator.Check(map[string]any{"spec": spec}) {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestValidateChecksWhatFieldsSay(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, doc string
		want      []string
	}{
		{"an empty document", `{}`, nil},
		{"a revision that is no label", `spec: {revision: Bad_Rev}`, []string{`spec.revision: invalid revision specified: Bad_Rev; use lower case letters, digits and '-', at most 63`}},
		{"a gateway without a name", `spec: {components: {ingressGateways: [{enabled: true}]}}`, []string{`spec.components.ingressGateways[0].name: is missing; every gateway needs a name`}},
		{"a gateway that is there twice", `spec: {components: {ingressGateways: [{name: a}, {name: a}]}}`, []string{`spec.components.ingressGateways[1].name: "a" is there twice`}},
		{"a Service of no type", `spec: {components: {ingressGateways: [{name: a, k8s: {service: {type: LoadBalncer, ports: [{port: 0}]}}}]}}`, []string{
			`spec.components.ingressGateways[0].k8s.service.type: "LoadBalncer" is none of its values; did you mean "LoadBalancer"?`,
			`spec.components.ingressGateways[0].k8s.service.ports[0].port: 0 is not a port; use 1 to 65535`,
		}},
		{"a cluster's name that is no label", `spec: {values: {global: {multiCluster: {clusterName: Cluster_1}}}}`, []string{
			`spec.values.global.multiCluster.clusterName: "Cluster_1" is not a name that Kubernetes takes; use lower case letters, digits and '-', at most 63`,
		}},
		{"a network that does not fit in a label", `spec: {values: {global: {network: "a b"}}}`, []string{`spec.values.global.network: "a b" does not fit in a label; use letters, digits, '-', '_' and '.', at most 63`}},
		{"another injection template", `spec: {values: {gateways: {istio-ingressgateway: {injectionTemplate: sidecar}}}}`, []string{`spec.values.gateways.istio-ingressgateway.injectionTemplate: "sidecar" is none of its values; use gateway`}},
		{"an overlay of nothing", `spec: {components: {pilot: {k8s: {overlays: [{patches: [{value: 1}]}]}}}}`, []string{
			`spec.components.pilot.k8s.overlays[0]: needs the kind and the name of the object that it changes`,
			`spec.components.pilot.k8s.overlays[0].patches[0].path: is missing`,
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var doc operator.IstioOperator
			var shape struct {
				Spec struct {
					Values operator.Values `json:"values"`
				} `json:"spec"`
			}
			for _, into := range []any{&doc, &shape} {
				if err := yaml.Unmarshal([]byte(c.doc), into); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, p := range doc.Validate(shape.Spec.Values) {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestMisindentedMeshNetworksAreAWarning(t *testing.T) {
	t.Parallel()
	const text = `meshNetworks:
  network1:
  endpoints:
  - fromRegistry: cluster1
  gateways:
  - registry_service_name: istio-ingressgateway.istio-system.svc.cluster.local
    port: 443
  network2:
    endpoints:
    - fromCidr: 10.0.0.0
`
	var global operator.Global
	if err := yaml.Unmarshal([]byte(text), &global); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range global.MeshNetworkWarnings() {
		got[p.Path] = p.Text
	}
	const notNetwork = "is not a network: it has no endpoints and gateways below it"
	want := map[string]string{
		"spec.values.global.meshNetworks.endpoints":                      notNetwork,
		"spec.values.global.meshNetworks.gateways":                       notNetwork,
		"spec.values.global.meshNetworks.network2.endpoints[0].fromCidr": `"10.0.0.0" is not a CIDR`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
