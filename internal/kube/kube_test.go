package kube

import (
	"os"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
)

func TestEnsureNamespaceOnlyAddsAMissingLabel(t *testing.T) {
	t.Parallel()
	const label = "topology.istio.io/network"
	cases := []struct {
		name      string
		existing  map[string]string // labels; nil: no namespace
		exists    bool
		network   string
		want      NamespaceChange
		wantLabel string
	}{
		{"absent, no network", nil, false, "", NamespaceCreated, ""},
		{"absent, with a network", nil, false, "network1", NamespaceCreated, "network1"},
		{"there without labels", nil, true, "network1", NamespaceLabelled, "network1"},
		{"there with other labels", map[string]string{"a": "b"}, true, "network1", NamespaceLabelled, "network1"},
		{"there with the network", map[string]string{label: "network1"}, true, "network1", NamespaceKept, "network1"},
		{"there with another network", map[string]string{label: "mine"}, true, "network1", NamespaceKept, "mine"},
		{"there, no network", nil, true, "", NamespaceKept, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			core := fake.NewClientset()
			if c.exists {
				ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "istio-system", Labels: c.existing}}
				core = fake.NewClientset(ns)
			}
			client := &Client{Core: core}
			got, err := client.EnsureNamespace(t.Context(), "istio-system", c.network)
			if err != nil || got != c.want {
				t.Fatalf("change %v, error %v; want %v", got, err, c.want)
			}
			ns, err := core.CoreV1().Namespaces().Get(t.Context(), "istio-system", metav1.GetOptions{})
			if err != nil || ns.Labels[label] != c.wantLabel || c.existing["a"] != ns.Labels["a"] {
				t.Errorf("labels %v, error %v", ns.Labels, err)
			}
		})
	}
}

func TestRequestsAreMadeInTheNameOfAnother(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: "https://192.0.2.1"}}], users: [{name: u, user: {as: owner}}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		as   rest.ImpersonationConfig
		want string
	}{{rest.ImpersonationConfig{}, "owner"}, {rest.ImpersonationConfig{UserName: "someone"}, "someone"}} {
		cfg, err := Config(Access{Kubeconfig: file, Impersonate: c.as})
		if err != nil || cfg.Impersonate.UserName != c.want {
			t.Errorf("%+v, %v; want %s", cfg, err, c.want)
		}
	}
}

func TestADeploymentWorksWhenItsNewestPodsDo(t *testing.T) {
	t.Parallel()
	two := int32(2)
	cases := []struct {
		name   string
		status appsv1.DeploymentStatus
		want   string
	}{
		{"not seen yet", appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2}, "its change has not been seen by the controller yet"},
		{"no pods", appsv1.DeploymentStatus{ObservedGeneration: 2}, "0 of 2 pods are made"},
		{"one of two ready", appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 1}, "1 of 2 pods are ready"},
		{"old pods run on", appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 2, AvailableReplicas: 3}, "1 old pods are still there"},
		{"done", appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: appsv1.DeploymentSpec{Replicas: &two}, Status: c.status}
			if got := unreadyDeployment(d); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestTheReasonIsWhatThePodSays(t *testing.T) {
	t.Parallel()
	pod := func(status corev1.PodStatus) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "istiod-1", Namespace: "istio-system", Labels: map[string]string{"app": "istiod"}},
			Status:     status,
		}
	}
	waiting := func(restarts int32, reason, message string) corev1.PodStatus {
		return corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: "discovery", RestartCount: restarts,
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
		}}}
	}
	cases := []struct {
		name       string
		pod        *corev1.Pod
		conditions []appsv1.DeploymentCondition
		want       string
	}{
		{"no image", pod(waiting(0, "ImagePullBackOff", "not found")), nil, "known: pod istiod-1: container discovery: ImagePullBackOff: not found"},
		// The fake client's log of every container is "fake logs".
		{"it ends again and again", pod(waiting(3, "CrashLoopBackOff", "")), nil, "known: pod istiod-1: container discovery: CrashLoopBackOff; it last said: fake logs"},
		{"no node takes it", pod(corev1.PodStatus{Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available: 1 Insufficient cpu.",
		}}}), nil, "known: pod istiod-1: Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."},
		{"it runs", pod(corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: "discovery", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}}}), nil, "known: pod istiod-1: container discovery runs but is not ready"},
		{"an init container fails", pod(corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{{
			Name: "istio-init", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}},
		}}}), nil, "known: pod istiod-1: container istio-init: exited with 1 (Error)"},
		{"no pod is let in", nil, []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "failed calling webhook",
		}}, "known: failed calling webhook"},
		{"nothing is known", nil, nil, "known"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := &appsv1.Deployment{
				ObjectMeta: metav1.ObjectMeta{Name: "istiod", Namespace: "istio-system"},
				Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "istiod"}}},
				Status:     appsv1.DeploymentStatus{Conditions: c.conditions},
			}
			core := fake.NewClientset(d)
			if c.pod != nil {
				core = fake.NewClientset(d, c.pod)
			}
			client := &Client{Core: core}
			pending := Pending{Kind: "Deployment", Namespace: "istio-system", Name: "istiod", Reason: "known"}
			if got := client.explain(t.Context(), pending); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
