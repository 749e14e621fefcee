package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	// pollEvery is how often a wait looks again. A watch for each kind would be faster by less than this and break more often.
	pollEvery = 500 * time.Millisecond
	// explainEvery is how often a wait asks for reasons, which costs requests. What works as it should is ready before the first.
	explainEvery = 10 * time.Second
)

// Pending is an object that does not work yet.
type Pending struct {
	Kind      string
	Namespace string
	Name      string
	// Reason is why, as far as the cluster tells.
	Reason string
}

// String is the object as Kind/namespace/name.
func (p Pending) String() string {
	if p.Namespace == "" {
		return p.Kind + "/" + p.Name
	}
	return p.Kind + "/" + p.Namespace + "/" + p.Name
}

// Wait returns when all Deployments, DaemonSets and definitions among the objects work. After each look it calls waiting with what
// does not and for how long it has waited; reasons are there as soon as it took some seconds. After the timeout it fails with the
// reason of each.
func (c *Client) Wait(ctx context.Context, objects []*unstructured.Unstructured, timeout time.Duration, waiting func([]Pending, time.Duration)) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	began := time.Now()
	why := &reasons{client: c, asked: began}
	var last []Pending
	for {
		pending, err := c.pending(ctx, objects)
		switch {
		case err == nil && len(pending) == 0:
			return nil
		case err == nil:
			last = pending
			waiting(why.of(ctx, pending), time.Since(began))
		case !retriable(err):
			return err
		}
		select {
		case <-ctx.Done():
			return c.notReady(context.WithoutCancel(ctx), last, timeout, errors.Join(ctx.Err(), err))
		case <-ticker.C:
		}
	}
}

// retriable reports whether the next look may succeed: an API server that restarts is no reason to give up.
func retriable(err error) bool {
	return !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err)
}

// notReady is the error of a wait that ended without success.
func (c *Client) notReady(ctx context.Context, pending []Pending, timeout time.Duration, cause error) error {
	if errors.Is(cause, context.Canceled) {
		return errors.New("interrupted")
	}
	if len(pending) == 0 {
		return fmt.Errorf("resources not ready after %v: the cluster did not answer: %w", timeout, cause)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Config.Timeout)
	defer cancel()
	lines := []string{fmt.Sprintf("resources not ready after %v:", timeout)}
	for _, p := range pending {
		lines = append(lines, fmt.Sprintf("  %s: %s", p, c.explain(ctx, p)))
	}
	return errors.New(strings.Join(lines, "\n"))
}

// reasons are what explain found out, kept from one look to the next.
type reasons struct {
	client *Client
	asked  time.Time
	found  map[string]string // by the object's String
}

// of is what is pending, each with its reason; without one as long as nobody was asked.
func (r *reasons) of(ctx context.Context, pending []Pending) []Pending {
	if time.Since(r.asked) >= explainEvery {
		r.asked, r.found = time.Now(), map[string]string{}
		for _, p := range pending {
			r.found[p.String()] = r.client.explain(ctx, p)
		}
	}
	out := slices.Clone(pending)
	for i, p := range out {
		out[i].Reason = r.found[p.String()]
	}
	return out
}

// pending looks at each object once.
func (c *Client) pending(ctx context.Context, objects []*unstructured.Unstructured) ([]Pending, error) {
	var out []Pending
	for _, object := range objects {
		kind := object.GetKind()
		if kind != "Deployment" && kind != "DaemonSet" && kind != "CustomResourceDefinition" {
			continue
		}
		resource, err := c.resource(object.GroupVersionKind(), object.GetNamespace())
		if err != nil {
			return nil, err
		}
		live, err := resource.Get(ctx, object.GetName(), metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read %s %s: %w", kind, qualified(object), err)
		}
		reason, err := unready(live)
		if err != nil {
			return nil, err
		}
		if reason != "" {
			out = append(out, Pending{Kind: kind, Namespace: live.GetNamespace(), Name: live.GetName(), Reason: reason})
		}
	}
	return out, nil
}

// unready says why an object does not work yet; empty when it does.
func unready(live *unstructured.Unstructured) (string, error) {
	switch live.GetKind() {
	case "Deployment":
		var d appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, &d); err != nil {
			return "", err
		}
		return unreadyDeployment(&d), nil
	case "DaemonSet":
		var d appsv1.DaemonSet
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, &d); err != nil {
			return "", err
		}
		return unreadyDaemonSet(&d), nil
	default:
		conditions, _, _ := unstructured.NestedSlice(live.Object, "status", "conditions")
		for _, item := range conditions {
			if condition, ok := item.(map[string]any); ok && condition["type"] == "Established" && condition["status"] == "True" {
				return "", nil
			}
		}
		return "the API server does not serve it yet", nil
	}
}

// unreadyDeployment follows `kubectl rollout status`: the newest pods all run, and no old one is left.
func unreadyDeployment(d *appsv1.Deployment) string {
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	s := d.Status
	switch {
	case s.ObservedGeneration < d.Generation:
		return "its change has not been seen by the controller yet"
	case s.UpdatedReplicas < want:
		return fmt.Sprintf("%d of %d pods are made", s.UpdatedReplicas, want)
	case s.AvailableReplicas < want:
		return fmt.Sprintf("%d of %d pods are ready", s.AvailableReplicas, want)
	case s.Replicas > s.UpdatedReplicas:
		return fmt.Sprintf("%d old pods are still there", s.Replicas-s.UpdatedReplicas)
	}
	return ""
}

func unreadyDaemonSet(d *appsv1.DaemonSet) string {
	s := d.Status
	switch {
	case s.ObservedGeneration < d.Generation:
		return "its change has not been seen by the controller yet"
	case s.UpdatedNumberScheduled < s.DesiredNumberScheduled || s.NumberAvailable < s.DesiredNumberScheduled:
		return fmt.Sprintf("%d of %d pods are ready", s.NumberAvailable, s.DesiredNumberScheduled)
	}
	return ""
}
