package inject

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const (
	networkLabel           = "topology.istio.io/network"
	tlsModeLabel           = "security.istio.io/tlsMode"
	canonicalNameLabel     = "service.istio.io/canonical-name"
	canonicalRevisionLabel = "service.istio.io/canonical-revision"
	defaultContainerKey    = "kubectl.kubernetes.io/default-container"
	defaultLogsKey         = "kubectl.kubernetes.io/default-logs-container"
)

// Status is what an injection added, as the annotation sidecar.istio.io/status has it.
type Status struct {
	InitContainers   []string `json:"initContainers"`
	Containers       []string `json:"containers"`
	Volumes          []string `json:"volumes"`
	ImagePullSecrets []string `json:"imagePullSecrets"`
	Revision         string   `json:"revision"`
}

// addMetadata labels the pod for the mesh. What the pod says itself stays.
func addMetadata(pod *corev1.Pod, in Inputs, s settings, status Status, own ownContainers) {
	status.Revision = firstOf(in.Revision, "default")
	annotate(pod, revisionKey, status.Revision)
	annotate(pod, statusKey, mustJSON(status))
	if overrides := own.json(); overrides != "" {
		annotate(pod, overridesKey, overrides)
	}
	for key, value := range in.Annotations {
		annotateDefault(pod, key, value)
	}
	if first := firstApplication(pod, s.template); first != "" {
		annotateDefault(pod, defaultContainerKey, first)
		annotateDefault(pod, defaultLogsKey, first)
	}
	if s.template == TemplateSidecar {
		labelDefault(pod, tlsModeLabel, "istio")
	}
	labelDefault(pod, canonicalNameLabel, labelValue(firstOf(pod.Labels["app.kubernetes.io/name"], pod.Labels["app"], s.workload.name)))
	labelDefault(pod, canonicalRevisionLabel, firstOf(pod.Labels["app.kubernetes.io/version"], pod.Labels["version"], "latest"))
	labelDefault(pod, networkLabel, s.network)
}

// firstApplication is the container that kubectl means when it is told none. A gateway's application is the proxy.
func firstApplication(pod *corev1.Pod, template string) string {
	if template == TemplateGateway {
		return ProxyContainer
	}
	for _, c := range pod.Spec.Containers {
		if !ours(c.Name) {
			return c.Name
		}
	}
	return ""
}

// labelValue cuts a name to what a label can hold; the cut must not leave a separator at the end.
func labelValue(name string) string {
	const most = 63
	if len(name) > most {
		name = name[:most]
	}
	return strings.TrimRight(name, "-_.")
}

func labelDefault(pod *corev1.Pod, key, value string) {
	if pod.Labels[key] != "" || value == "" {
		return
	}
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[key] = value
}

func annotate(pod *corev1.Pod, key, value string) {
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[key] = value
}

func annotateDefault(pod *corev1.Pod, key, value string) {
	if _, said := pod.Annotations[key]; !said {
		annotate(pod, key, value)
	}
}
