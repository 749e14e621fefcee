package inject

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	type labels = map[string]string
	jobs := []metav1.LabelSelector{{MatchLabels: labels{"kind": "job"}}}
	cases := []struct {
		name        string
		namespace   string
		labels      labels
		annotations labels
		hostNetwork bool
		of          labels // the namespace's labels; nil when the API server has asked us
		policy      Policy
		want        bool
	}{
		{name: "whatever the webhook was called for", want: true},
		{name: "host network, though it asks", labels: labels{injectKey: "true"}, hostNetwork: true},
		{name: "system namespace, though it asks", namespace: "kube-system", labels: labels{injectKey: "true"}},
		{name: "label says no", labels: labels{injectKey: "false"}},
		{name: "annotation says no", annotations: labels{injectKey: "false"}},
		{name: "label wins over annotation", labels: labels{injectKey: "true"}, annotations: labels{injectKey: "false"}, want: true},
		{name: "label without meaning, annotation decides", labels: labels{injectKey: "perhaps"}, annotations: labels{injectKey: "false"}},
		{name: "never selector", labels: labels{"kind": "job"}, policy: Policy{NeverInject: jobs, AlwaysInject: jobs}},
		{name: "own wish wins over never selector", labels: labels{"kind": "job", injectKey: "true"}, policy: Policy{NeverInject: jobs}, want: true},
		{name: "disabled policy", policy: Policy{Disabled: true}},
		{name: "disabled policy, own wish", labels: labels{injectKey: "true"}, policy: Policy{Disabled: true}, want: true},
		{name: "disabled policy, always selector", labels: labels{"kind": "job"}, policy: Policy{Disabled: true, AlwaysInject: jobs}, want: true},
		{name: "empty selector selects nothing", policy: Policy{NeverInject: []metav1.LabelSelector{{}}}, want: true},
		{name: "namespace enabled", of: labels{"istio-injection": "enabled"}, want: true},
		{name: "namespace enabled, other revision's control plane", of: labels{"istio-injection": "enabled"}, policy: Policy{Revision: "canary"}},
		{name: "namespace disabled, though the pod asks", of: labels{"istio-injection": "disabled"}, labels: labels{injectKey: "true"}},
		{name: "namespace without labels", of: labels{}},
		{name: "namespace without labels, pod asks", of: labels{}, labels: labels{injectKey: "true"}, want: true},
		{name: "namespace of my revision", of: labels{"istio.io/rev": "canary"}, policy: Policy{Revision: "canary"}, want: true},
		{name: "namespace of another revision", of: labels{"istio.io/rev": "old"}, policy: Policy{Revision: "canary"}},
		{name: "pod of my revision", of: labels{}, labels: labels{"istio.io/rev": "canary"}, policy: Policy{Revision: "canary"}, want: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Labels: c.labels, Annotations: c.annotations}}
			pod.Spec.HostNetwork = c.hostNetwork
			got, reason := Decide(pod, c.of, c.policy)
			if got != c.want || reason == "" {
				t.Errorf("got %v (%s), want %v with a reason", got, reason, c.want)
			}
		})
	}
}

func TestNativeSidecarsNeedEveryNode(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name     string
		kubelets []string
		want     bool
	}{
		{"no nodes seen", nil, false},
		{"new enough", []string{"v1.33.0", "v1.36.2+k3s1", "v2.0.0"}, true},
		{"one is older", []string{"v1.36.0", "v1.32.9"}, false},
		{"a vendor's version", []string{"v1.34.1-eks-1234"}, true},
		{"unreadable", []string{"v1.36.0", "unknown"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var nodes []*corev1.Node
			for _, v := range c.kubelets {
				nodes = append(nodes, &corev1.Node{Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KubeletVersion: v}}})
			}
			if got := NativeSidecars(nodes); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
