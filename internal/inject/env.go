package inject

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

const probersEnv = "ISTIO_KUBE_APP_PROBERS"

// proxyEnv is what the agent learns of its pod before it talks to anybody. proxyMetadata comes last and wins.
func proxyEnv(pod *corev1.Pod, in Inputs, s settings) []corev1.EnvVar {
	ports := []corev1.ContainerPort{}
	for _, c := range applications(pod) {
		ports = append(ports, c.Ports...)
	}
	env := []corev1.EnvVar{
		{Name: "PILOT_CERT_PROVIDER", Value: "istiod"},
		{Name: "CA_ADDR", Value: in.CAAddress},
		fromPod("POD_NAME", "metadata.name"),
		fromPod("POD_NAMESPACE", "metadata.namespace"),
		fromPod("INSTANCE_IP", "status.podIP"),
		fromPod("SERVICE_ACCOUNT", "spec.serviceAccountName"),
		fromPod("HOST_IP", "status.hostIP"),
		fromLimits("ISTIO_CPU_LIMIT", "limits.cpu"),
		fromLimits("GOMEMLIMIT", "limits.memory"),
		{Name: "PROXY_CONFIG", Value: s.config.json()},
		{Name: "ISTIO_META_POD_PORTS", Value: mustJSON(ports)},
		{Name: "ISTIO_META_APP_CONTAINERS", Value: applicationNames(pod)},
		{Name: "ISTIO_META_CLUSTER_ID", Value: in.ClusterID},
		fromPod("ISTIO_META_NODE_NAME", "spec.nodeName"),
		{Name: "ISTIO_META_INTERCEPTION_MODE", Value: s.mode},
	}
	if s.network != "" {
		env = append(env, corev1.EnvVar{Name: "ISTIO_META_NETWORK", Value: s.network})
	}
	if name := firstOf(pod.Labels["service.istio.io/workload-name"], s.workload.name); name != "" {
		env = append(env,
			corev1.EnvVar{Name: "ISTIO_META_WORKLOAD_NAME", Value: name},
			corev1.EnvVar{Name: "ISTIO_META_OWNER", Value: s.workload.owner(pod.Namespace)})
	}
	env = append(env,
		corev1.EnvVar{Name: "ISTIO_META_MESH_ID", Value: in.MeshID},
		corev1.EnvVar{Name: "TRUST_DOMAIN", Value: in.TrustDomain})
	for _, v := range metadataEnv(s.config) {
		env = withEnv(env, v)
	}
	return env
}

// metadataEnv is proxyMetadata as environment, in the order of its names.
func metadataEnv(c proxyConfig) []corev1.EnvVar {
	var env []corev1.EnvVar
	metadata := c.message.GetProxyMetadata()
	for _, name := range sortedKeys(metadata) {
		env = append(env, corev1.EnvVar{Name: name, Value: metadata[name]})
	}
	return env
}

// setPlaceFromURL lays what the webhook's URL says over everything else, save the pod's own network label.
func setPlaceFromURL(proxy *corev1.Container, in Inputs, s settings) {
	for _, name := range sortedKeys(in.Env) {
		value := in.Env[name]
		if name == "ISTIO_META_NETWORK" {
			value = s.network
		}
		proxy.Env = withEnv(proxy.Env, corev1.EnvVar{Name: name, Value: value})
	}
}

// withEnv sets one variable in place, or adds it at the end.
func withEnv(env []corev1.EnvVar, v corev1.EnvVar) []corev1.EnvVar {
	if i := slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.Name == v.Name }); i >= 0 {
		env[i] = v
		return env
	}
	return append(env, v)
}

func fromPod(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}}
}

// fromLimits is what the node may give when the container has no limit.
func fromLimits(name, limit string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: limit}}}
}
