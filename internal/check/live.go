package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

const poll = 300 * time.Millisecond

// deploy puts a probe into a cluster, and the names of all probes, so that each can be called from there.
func deploy(ctx context.Context, f *facts, clusters []string) error {
	if err := takeNamespace(ctx, f); err != nil {
		return err
	}
	core := f.cluster.Core
	if _, err := core.CoreV1().ServiceAccounts(ProbeNamespace).Create(ctx, accountOf(f), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create the probe's service account: %w", err)
	}
	for _, name := range clusters {
		if _, err := core.CoreV1().Services(ProbeNamespace).Create(ctx, serviceOf(name), metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create Service of the probe: %w", err)
		}
	}
	if _, err := core.AppsV1().Deployments(ProbeNamespace).Create(ctx, deploymentOf(f), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create Deployment of the probe: %w", err)
	}
	return nil
}

// takeNamespace makes the namespace. One that an earlier run left behind is removed first; one that is not ours is not touched.
func takeNamespace(ctx context.Context, f *facts) error {
	namespaces := f.cluster.Core.CoreV1().Namespaces()
	err := wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		there, err := namespaces.Get(ctx, ProbeNamespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err := namespaces.Create(ctx, namespaceOf(f), metav1.CreateOptions{})
			return err == nil, err
		}
		if err != nil {
			return false, err
		}
		if there.Labels[managedBy] != manager {
			return false, errNotOurs
		}
		return false, removeProbe(ctx, f)
	})
	if wait.Interrupted(err) {
		return fmt.Errorf("namespace %s of an earlier run is still being deleted", ProbeNamespace)
	}
	if err != nil {
		return fmt.Errorf("create namespace %s: %w", ProbeNamespace, err)
	}
	return nil
}

// errNotOurs says that somebody else made the namespace.
var errNotOurs = errors.New("it exists and was not made by verify")

// removeProbe deletes the namespace with all that is in it, and does not wait until it is gone. One that is not ours stays.
func removeProbe(ctx context.Context, f *facts) error {
	namespaces := f.cluster.Core.CoreV1().Namespaces()
	there, err := namespaces.Get(ctx, ProbeNamespace, metav1.GetOptions{})
	if err == nil && (there.Labels[managedBy] != manager || there.DeletionTimestamp != nil) {
		return nil
	}
	if err == nil {
		err = namespaces.Delete(ctx, ProbeNamespace, metav1.DeleteOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete namespace %s of %s: %w", ProbeNamespace, f.name(), err)
	}
	return nil
}

// judgeDeploy says why a probe could not be made.
func judgeDeploy(f *facts, err error) Verdict {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return failed(f.kubectl("get namespace %s -o yaml", ProbeNamespace), "%v", err)
	case apierrors.IsForbidden(err):
		return failed("use a context that may create namespaces and Deployments, or lift the quota or policy that is named", "%s", oneLine(err.Error()))
	}
	return failed(f.kubectl("delete namespace %s", ProbeNamespace)+"; then try again", "%s", oneLine(err.Error()))
}

// placed is where the ready probe of a cluster runs. The zero value is no probe.
type placed struct {
	pod string
	ip  string
}

// awaitProbe waits until the probe is ready.
func awaitProbe(ctx context.Context, f *facts) (at placed, v Verdict) {
	name := probeName(f.name())
	var since time.Time // when the verdict became what it is
	err := wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		pods, err := f.cluster.Core.CoreV1().Pods(ProbeNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + name})
		if err != nil {
			return false, err
		}
		deployment, err := f.cluster.Core.AppsV1().Deployments(ProbeNamespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		now, patience := judgeProbe(f, *deployment, pods.Items)
		if now.Reason != v.Reason {
			since = time.Now()
		}
		v = now
		if v.State == OK {
			at = placed{pod: pods.Items[0].Name, ip: pods.Items[0].Status.PodIP}
			return true, nil
		}
		return time.Since(since) >= patience, nil
	})
	if err != nil && !wait.Interrupted(err) {
		return placed{}, failed(f.kubectl("get pods -n %s", ProbeNamespace), "%v", err)
	}
	if v.State == "" {
		return placed{}, failed(f.kubectl("get pods -n %s", ProbeNamespace), "no pod within the time given")
	}
	return at, v
}

// How long a state has to last before it is believed.
const (
	atOnce  = 0
	soon    = 6 * time.Second
	forever = time.Hour // until the deadline
)

// judgeProbe says how the probe's pod fares, and how long that has to last to be final.
func judgeProbe(f *facts, d appsv1.Deployment, pods []corev1.Pod) (v Verdict, patience time.Duration) {
	if len(pods) == 0 {
		if reason := replicaFailure(d); reason != "" {
			return failed(refusalFix(f, reason), "the pod is not admitted%s", oneLine(reason)), soon
		}
		return failed(f.kubectl("describe -n %s deployment/%s", ProbeNamespace, d.Name), "no pod is made for the probe"), forever
	}
	pod := &pods[0]
	if !injected(pod) {
		return failed(notInjectedFix(f), "pod not injected: %s has no container istio-proxy", pod.Name), atOnce
	}
	if podReady(pod) {
		return ok("%s is ready with its sidecar", pod.Name), atOnce
	}
	fix := f.kubectl("describe pod -n %s %s", pod.Namespace, pod.Name)
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch waiting := s.State.Waiting; {
		case waiting != nil && slices.Contains([]string{"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}, waiting.Reason):
			return failed("make "+s.Image+" available to the nodes, or set values.global.hub and tag",
				"image %s of container %s cannot be pulled: %s", s.Image, s.Name, oneLine(waiting.Message)), soon
		case waiting != nil && waiting.Reason == "CrashLoopBackOff":
			return failed(f.kubectl("logs -n %s %s -c %s --previous", pod.Namespace, pod.Name, s.Name),
				"container %s ends again and again: %s", s.Name, oneLine(waiting.Message)), soon
		}
	}
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if s.Name == "istio-proxy" && s.State.Running != nil && !s.Ready {
			return failed(f.kubectl("logs -n %s %s -c istio-proxy", pod.Namespace, pod.Name),
				"sidecar not ready: it runs, and has no configuration or no certificate from istiod yet"), forever
		}
	}
	return failed(fix, "pod %s is not ready%s", pod.Name, unscheduled(pod)), forever
}

func unscheduled(pod *corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return ": " + condition.Message
		}
	}
	return ""
}

// refusalFix is what helps when a pod is not admitted.
func refusalFix(f *facts, reason string) string {
	switch {
	case strings.Contains(reason, "webhook"):
		return "bring istiod of " + f.name() + " back: " + f.kubectl("get pods -n %s -l app=istiod", f.namespace)
	case strings.Contains(reason, "PodSecurity"):
		return "the cluster's pod security default is too strict for sidecars in namespace " + ProbeNamespace + ": exempt it in the API server's admission configuration"
	case strings.Contains(reason, "quota"):
		return "make room in the quota of namespace " + ProbeNamespace
	}
	return f.kubectl("get events -n %s", ProbeNamespace)
}

// notInjectedFix is what helps when the injector left a pod alone.
func notInjectedFix(f *facts) string {
	return f.kubectl("get mutatingwebhookconfiguration -l app=sidecar-injector") + "; when it is missing: isthmus install --context=" + f.cluster.Context + " -f FILE"
}

// injected reports whether a pod has a sidecar, of either form.
func injected(pod *corev1.Pod) bool {
	return slices.ContainsFunc(slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers), func(c corev1.Container) bool {
		return c.Name == "istio-proxy"
	})
}

func podReady(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
