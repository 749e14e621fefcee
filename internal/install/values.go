package install

import (
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/isthmus-mesh/isthmus/api/label"
	"github.com/isthmus-mesh/isthmus/api/operator"
)

// The parts of an installation, as the label operator.istio.io/component names them.
const (
	Base            = "Base"
	Pilot           = "Pilot"
	IngressGateways = "IngressGateways"
	EgressGateways  = "EgressGateways"
)

// release is one chart to render: what `helm install NAME charts/CHART -n NAMESPACE -f VALUES` would do.
type release struct {
	component string
	chart     string
	name      string
	namespace string
	values    map[string]any
	// overlays change the rendered objects; first what k8s settings have no chart value for, then the user's own.
	overlays []operator.Overlay
}

// releases lists what the plan installs, in the order of installation.
func releases(p Plan) []release {
	var out []release
	if c := p.Spec.Components.Base; operator.On(c.Enabled) {
		out = append(out, release{
			component: Base, chart: "base", name: "istio-base", namespace: or(c.Namespace, p.Namespace),
			values: p.section("global", "base", "revision"), overlays: c.K8s.Overlays,
		})
	}
	if c := p.Spec.Components.Pilot; operator.On(c.Enabled) {
		out = append(out, pilotRelease(p, c))
	}
	for _, g := range p.Spec.Components.IngressGateways {
		if operator.On(g.Enabled) {
			out = append(out, gatewayRelease(p, IngressGateways, "istio-ingressgateway", g))
		}
	}
	for _, g := range p.Spec.Components.EgressGateways {
		if operator.On(g.Enabled) {
			out = append(out, gatewayRelease(p, EgressGateways, "istio-egressgateway", g))
		}
	}
	return out
}

// section is the part of the values that a chart knows.
func (p Plan) section(keys ...string) map[string]any {
	out := map[string]any{}
	for _, key := range keys {
		if value, ok := p.Spec.Values[key]; ok {
			out[key] = value
		}
	}
	return out
}

// pilotRelease is istiod: k8s settings become values of the section pilot, and overlays where there is no such value.
func pilotRelease(p Plan, c operator.Component) release {
	values := p.section("global", "meshConfig", "sidecarInjectorWebhook", "istiodRemote", "revision")
	pilot := map[string]any{}
	set(pilot, "hub", c.Hub)
	set(pilot, "tag", c.Tag)
	k := c.K8s
	env, envFrom := splitEnv(k.Env)
	set(pilot, "env", env)
	set(pilot, "envVarFrom", envFrom)
	sharedSettings(pilot, k)
	set(pilot, "serviceAnnotations", k.ServiceAnnotations)
	if k.HPASpec != nil {
		pilot["autoscaleEnabled"] = true
		set(pilot, "autoscaleMax", int64(k.HPASpec.MaxReplicas))
		if k.HPASpec.MinReplicas != nil {
			pilot["autoscaleMin"] = int64(*k.HPASpec.MinReplicas)
		}
	}
	below, _ := p.Spec.Values["pilot"].(map[string]any)
	values["pilot"] = merge(below, pilot, "")
	name := "istiod"
	if p.Revision != "" {
		name += "-" + p.Revision
	}
	overlays := hpaOverlays(name, k)
	deployment := operator.Overlay{Kind: "Deployment", Name: name}
	deployment.Patches = patches(map[string]any{
		"spec.strategy": tree(k.Strategy), "spec.template.spec.priorityClassName": k.PriorityClassName,
		"spec.template.spec.containers.[name:discovery].imagePullPolicy": k.ImagePullPolicy,
	})
	overlays = append(overlays, deployment, servicePatches(name, tree(k.Service)))
	if k.PodDisruptionBudget != nil {
		overlays = append(overlays, under("PodDisruptionBudget", name, tree(k.PodDisruptionBudget)))
	}
	return release{
		component: Pilot, chart: "istiod", name: "istiod", namespace: or(c.Namespace, p.Namespace),
		values: values, overlays: append(overlays, k.Overlays...),
	}
}

// gatewayRelease is one gateway: defaults of all gateways of its kind, then its own settings.
func gatewayRelease(p Plan, component, defaults string, g operator.Gateway) release {
	values := gatewayDefaults(p.Values.Gateways[defaults])
	values["global"] = p.Spec.Values["global"]
	values["name"] = g.Name
	values["revision"] = p.Revision
	set(values, "labels", g.Label)
	values["serviceAccount"] = map[string]any{"name": g.Name + "-service-account"}
	k := g.K8s
	env, envFrom := splitEnv(k.Env)
	set(values, "env", env)
	set(values, "envVarFrom", envFrom)
	sharedSettings(values, k)
	if g.Hub != "" || g.Tag != "" {
		annotations, _ := values["podAnnotations"].(map[string]any)
		values["podAnnotations"] = merge(map[string]any{label.ProxyImage: p.proxyImage(g)}, annotations, "")
	}
	set(values, "imagePullPolicy", or(k.ImagePullPolicy, p.Values.Global.ImagePullPolicy))
	set(values, "priorityClassName", k.PriorityClassName)
	set(values, "strategy", tree(k.Strategy))
	set(values, "podDisruptionBudget", tree(k.PodDisruptionBudget))
	if len(p.Values.Global.ImagePullSecrets) > 0 {
		values["imagePullSecrets"] = p.Values.Global.ImagePullSecrets
	}
	if k.HPASpec != nil {
		scaling := map[string]any{"enabled": true}
		set(scaling, "maxReplicas", int64(k.HPASpec.MaxReplicas))
		if k.HPASpec.MinReplicas != nil {
			scaling["minReplicas"] = int64(*k.HPASpec.MinReplicas)
		}
		values["autoscaling"] = scaling
	}
	service, _ := values["service"].(map[string]any)
	known, rest := gatewayService(tree(k.Service))
	service = merge(service, known, "")
	set(service, "annotations", k.ServiceAnnotations)
	values["service"] = service
	overlays := append(hpaOverlays(g.Name, k), under("Service", g.Name, rest))
	return release{
		component: component, chart: "gateway", name: g.Name, namespace: or(g.Namespace, p.Namespace),
		values: numbers(values).(map[string]any), overlays: append(overlays, k.Overlays...),
	}
}

// proxyImage is the image of a gateway that has a hub or a tag of its own. The injector, which fills in the image, takes it from
// an annotation.
func (p Plan) proxyImage(g operator.Gateway) string {
	global := p.Values.Global
	image := or(global.Proxy.Image, "proxy")
	if strings.Contains(image, "/") {
		return image
	}
	return fmt.Sprintf("%s/%s:%s", or(g.Hub, global.Hub), image, or(g.Tag, fmt.Sprint(global.Tag)))
}

// gatewayDefaults puts values.gateways.NAME where the gateway chart has them.
func gatewayDefaults(d operator.GatewayValues) map[string]any {
	values, service := map[string]any{}, map[string]any{}
	raw := tree(d)
	for _, key := range []string{"labels", "env", "replicaCount", "resources", "podAnnotations", "nodeSelector", "tolerations"} {
		set(values, key, raw[key])
	}
	for _, key := range []string{"type", "loadBalancerIP", "externalTrafficPolicy"} {
		set(service, key, raw[key])
	}
	set(service, "annotations", raw["serviceAnnotations"])
	set(service, "ports", servicePorts(raw["ports"]))
	if d.AutoscaleEnabled != nil {
		scaling := map[string]any{"enabled": *d.AutoscaleEnabled}
		set(scaling, "minReplicas", raw["autoscaleMin"])
		set(scaling, "maxReplicas", raw["autoscaleMax"])
		if cpu := d.CPU.TargetAverageUtilization; cpu != nil {
			scaling["targetCPUUtilizationPercentage"] = int64(*cpu)
		}
		values["autoscaling"] = scaling
	}
	values["service"] = service
	return values
}

// sharedSettings sets the values that both charts call the same.
func sharedSettings(values map[string]any, k operator.Kubernetes) {
	set(values, "affinity", tree(k.Affinity))
	set(values, "nodeSelector", k.NodeSelector)
	set(values, "podAnnotations", k.PodAnnotations)
	set(values, "resources", tree(k.Resources))
	if k.ReplicaCount != nil {
		values["replicaCount"] = int64(*k.ReplicaCount)
	}
	if len(k.Tolerations) > 0 {
		values["tolerations"] = tree(operator.Kubernetes{Tolerations: k.Tolerations})["tolerations"]
	}
}

// splitEnv parts plain values from those that come out of the pod or of other objects.
func splitEnv(env []corev1.EnvVar) (plain map[string]any, from []any) {
	plain = map[string]any{}
	for _, e := range env {
		if e.ValueFrom == nil {
			plain[e.Name] = e.Value
			continue
		}
		from = append(from, tree(e))
	}
	return plain, from
}

// gatewayService parts the fields of a Service that the gateway chart has values for from the rest.
func gatewayService(service map[string]any) (known, rest map[string]any) {
	known, rest = map[string]any{}, maps.Clone(service)
	for _, key := range []string{
		"type", "loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges", "externalTrafficPolicy",
		"externalIPs", "clusterIP", "ipFamilyPolicy", "ipFamilies",
	} {
		set(known, key, service[key])
		delete(rest, key)
	}
	set(known, "ports", servicePorts(service["ports"]))
	delete(rest, "ports")
	return known, rest
}

// servicePorts drops what the typed form adds: a target port of 0 stands for none.
func servicePorts(ports any) any {
	list, _ := ports.([]any)
	for _, item := range list {
		if port, ok := item.(map[string]any); ok && port["targetPort"] == int64(0) {
			delete(port, "targetPort")
		}
	}
	return list
}

// set stores a value that says something.
func set(values map[string]any, key string, value any) {
	if value == nil {
		return
	}
	switch v := value.(type) {
	case string:
		if v == "" {
			return
		}
	case int64:
		if v == 0 {
			return
		}
	case map[string]any:
		if len(v) == 0 {
			return
		}
	case []any:
		if len(v) == 0 {
			return
		}
	case map[string]string:
		if len(v) == 0 {
			return
		}
		inner := make(map[string]any, len(v))
		for k, s := range v {
			inner[k] = s
		}
		value = inner
	}
	values[key] = value
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
