package inject

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const (
	injectKey         = "sidecar.istio.io/inject"
	revisionKey       = "istio.io/rev"
	namespaceLabelKey = "istio-injection"
)

// excludedNamespaces hold what the cluster itself needs to run; a proxy there could keep the cluster from starting.
var excludedNamespaces = []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}

// Policy is what holds for pods that do not speak for themselves.
type Policy struct {
	Disabled     bool                   // the default is to inject whatever the webhook was called for
	Revision     string                 // "default" when empty; read only with the labels of a namespace
	NeverInject  []metav1.LabelSelector // the first that selects the pod keeps it out
	AlwaysInject []metav1.LabelSelector // asked after NeverInject
}

// Decide tells whether the pod gets a proxy, and why. namespaceLabels may be nil, as in the webhook, where the API
// server has matched them against the webhook's selectors already; with labels, Decide answers for the selectors too.
// https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/
func Decide(pod *corev1.Pod, namespaceLabels map[string]string, policy Policy) (bool, string) {
	if pod.Spec.HostNetwork {
		return false, "the pod uses the node's network (hostNetwork), whose traffic must not be captured"
	}
	if slices.Contains(excludedNamespaces, pod.Namespace) {
		return false, "namespace " + pod.Namespace + " is never injected"
	}
	if wanted, where, said := ownWish(pod); said {
		if !wanted {
			return false, where + " says false"
		}
		if reason := unselected(pod, namespaceLabels, policy); reason != "" {
			return false, reason
		}
		return true, where + " says true"
	}
	if selectsAny(policy.NeverInject, pod.Labels) {
		return false, "a neverInjectSelector matches the pod's labels"
	}
	if selectsAny(policy.AlwaysInject, pod.Labels) {
		return true, "an alwaysInjectSelector matches the pod's labels"
	}
	if policy.Disabled {
		return false, "the injection policy is disabled and the pod does not ask for a proxy"
	}
	if reason := unselected(pod, namespaceLabels, policy); reason != "" {
		return false, reason
	}
	return true, "the namespace or the pod's revision label selects it"
}

// ownWish reads sidecar.istio.io/inject of the pod. The label wins; a value that is no boolean counts as not said.
func ownWish(pod *corev1.Pod) (wanted bool, where string, said bool) {
	for _, from := range []struct {
		where  string
		values map[string]string
	}{{"label", pod.Labels}, {"annotation", pod.Annotations}} {
		switch strings.ToLower(from.values[injectKey]) {
		case "true", "yes", "y", "on":
			return true, from.where + " " + injectKey, true
		case "false", "no", "n", "off":
			return false, from.where + " " + injectKey, true
		}
	}
	return false, "", false
}

// unselected tells why none of the webhooks that the charts install would be called for the pod; empty when one would.
func unselected(pod *corev1.Pod, namespace map[string]string, policy Policy) string {
	if namespace == nil {
		return ""
	}
	revision := policy.Revision
	if revision == "" {
		revision = "default"
	}
	byNamespace, byRevision := namespace[namespaceLabelKey], namespace[revisionKey]
	if byNamespace != "" {
		if byNamespace == "enabled" && revision == "default" {
			return ""
		}
		return fmt.Sprintf("the namespace is labelled %s=%s", namespaceLabelKey, byNamespace)
	}
	if byRevision == "" {
		byRevision = pod.Labels[revisionKey]
	}
	if byRevision != "" && byRevision != revision {
		return fmt.Sprintf("%s=%s selects another control plane than %s", revisionKey, byRevision, revision)
	}
	if byRevision == "" && (revision != "default" || pod.Labels[injectKey] != "true") {
		return fmt.Sprintf("neither the namespace (%s=enabled) nor the pod (label %s=true) asks for a proxy", namespaceLabelKey, injectKey)
	}
	return ""
}

func selectsAny(selectors []metav1.LabelSelector, podLabels map[string]string) bool {
	for i := range selectors {
		selector, err := metav1.LabelSelectorAsSelector(&selectors[i])
		// An empty selector in these lists would mean every pod; it is a slip of the pen, so it selects none.
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(podLabels)) {
			return true
		}
	}
	return false
}
