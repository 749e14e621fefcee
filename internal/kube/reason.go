package kube

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// explain finds out why a workload has no ready pods: what its pods say, or why there are none. It falls back to the reason that
// is already known.
func (c *Client) explain(ctx context.Context, p Pending) string {
	var selector *metav1.LabelSelector
	var conditions []appsv1.DeploymentCondition
	switch p.Kind {
	case "Deployment":
		d, err := c.Core.AppsV1().Deployments(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
		if err != nil {
			return p.Reason
		}
		selector, conditions = d.Spec.Selector, d.Status.Conditions
	case "DaemonSet":
		d, err := c.Core.AppsV1().DaemonSets(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
		if err != nil {
			return p.Reason
		}
		selector = d.Spec.Selector
	default:
		return p.Reason
	}
	pods, err := c.Core.CoreV1().Pods(p.Namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(selector)})
	if err != nil {
		return p.Reason
	}
	// The youngest pods are those of the change that is waited for.
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int {
		return b.CreationTimestamp.Compare(a.CreationTimestamp.Time)
	})
	for i := range pods.Items {
		if reason := c.podReason(ctx, &pods.Items[i]); reason != "" {
			return fmt.Sprintf("%s: pod %s: %s", p.Reason, pods.Items[i].Name, reason)
		}
	}
	for _, condition := range conditions {
		// A webhook that refuses pods, or a quota, shows only here.
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			return p.Reason + ": " + condition.Message
		}
	}
	return p.Reason
}

// podReason says why a pod is not ready; empty when it is, or does not say.
func (c *Client) podReason(ctx context.Context, pod *corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
			return ""
		}
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return cmp.Or(condition.Reason, "Unschedulable") + ": " + condition.Message
		}
	}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if reason := containerReason(status); reason != "" {
			if status.RestartCount > 0 || status.LastTerminationState.Terminated != nil {
				reason += c.lastLog(ctx, pod, status.Name)
			}
			return reason
		}
	}
	if pod.Status.Message != "" {
		return pod.Status.Reason + ": " + pod.Status.Message
	}
	return ""
}

// containerReason says what keeps one container; empty when it is ready.
func containerReason(s corev1.ContainerStatus) string {
	switch {
	case s.State.Waiting != nil && s.State.Waiting.Reason != "PodInitializing":
		w := s.State.Waiting
		reason := fmt.Sprintf("container %s: %s", s.Name, w.Reason)
		if w.Message != "" {
			reason += ": " + w.Message
		}
		return reason
	case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
		return fmt.Sprintf("container %s: exited with %d (%s)", s.Name, s.State.Terminated.ExitCode, s.State.Terminated.Reason)
	case s.State.Running != nil && !s.Ready:
		return fmt.Sprintf("container %s runs but is not ready", s.Name)
	}
	return ""
}

// lastLog is the last line that the container wrote before it ended, as an addition to a sentence.
func (c *Client) lastLog(ctx context.Context, pod *corev1.Pod, container string) string {
	tail := int64(1)
	stream, err := c.Core.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: container, Previous: true, TailLines: &tail,
	}).Stream(ctx)
	if err != nil {
		return ""
	}
	defer func() { _ = stream.Close() }()
	text, err := io.ReadAll(io.LimitReader(stream, 4096))
	if line := strings.TrimSpace(string(text)); err == nil && line != "" {
		return fmt.Sprintf("; it last said: %s", line)
	}
	return ""
}
