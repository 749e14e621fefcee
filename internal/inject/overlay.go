package inject

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// ownContainers are the containers with our names that the pod's owner wrote, to be laid over ours. They are kept in
// the annotation proxy.istio.io/overrides, so that a later injection knows what was theirs.
type ownContainers struct {
	proxy *corev1.Container
	init  *corev1.Container
}

type savedContainers struct {
	Containers     []corev1.Container `json:"containers,omitempty"`
	InitContainers []corev1.Container `json:"initContainers,omitempty"`
}

// takeOwnContainers takes them out of the pod.
func takeOwnContainers(pod *corev1.Pod) ownContainers {
	var own ownContainers
	take := func(from []corev1.Container) (rest []corev1.Container) {
		for _, c := range from {
			switch c.Name {
			case ProxyContainer:
				own.proxy = &c
			case InitContainer:
				own.init = &c
			default:
				rest = append(rest, c)
			}
		}
		return rest
	}
	pod.Spec.InitContainers = take(pod.Spec.InitContainers)
	pod.Spec.Containers = take(pod.Spec.Containers)
	return own
}

// json is the annotation's value; empty when the owner wrote none.
func (o ownContainers) json() string {
	var saved savedContainers
	if o.proxy != nil {
		saved.Containers = append(saved.Containers, *o.proxy)
	}
	if o.init != nil {
		saved.InitContainers = append(saved.InitContainers, *o.init)
	}
	if o.proxy == nil && o.init == nil {
		return ""
	}
	return mustJSON(saved)
}

// UnmarshalJSON reads the annotation; only containers with our names are taken from it.
func (o *ownContainers) UnmarshalJSON(b []byte) error {
	var saved savedContainers
	if err := strict(string(b), &saved); err != nil {
		return err
	}
	for i := range saved.Containers {
		if c := &saved.Containers[i]; c.Name == ProxyContainer {
			o.proxy = c
		}
	}
	for i := range saved.InitContainers {
		if c := &saved.InitContainers[i]; c.Name == InitContainer {
			o.init = c
		}
	}
	return nil
}

func (o ownContainers) putBack(spec *corev1.PodSpec) {
	if o.proxy != nil {
		spec.Containers = append(spec.Containers, *o.proxy)
	}
	if o.init != nil {
		spec.InitContainers = append(spec.InitContainers, *o.init)
	}
}

// overlay lays the owner's container over ours, field by field as kubectl patch does. Where two halves would make an
// invalid whole (a variable with value and source, a probe with two actions), the owner's stands alone.
func overlay(ours corev1.Container, own *corev1.Container) (corev1.Container, error) {
	if own == nil {
		return ours, nil
	}
	over := own.DeepCopy()
	if over.Image == autoImage {
		over.Image = ""
		// The API server gives an image without a tag the policy Always, so that one says nothing about the user's will.
		if over.ImagePullPolicy == corev1.PullAlways {
			over.ImagePullPolicy = ""
		}
	}
	over.Env, over.RestartPolicy = nil, nil
	standAlone(&ours, over)

	merged, err := mergeContainers(ours, *over)
	if err != nil {
		return ours, fmt.Errorf("lay the pod's container %s over the mesh's: %w", ours.Name, err)
	}
	for _, v := range own.Env {
		merged.Env = withEnv(merged.Env, v)
	}
	return merged, nil
}

func standAlone(ours, over *corev1.Container) {
	hasAction := func(p *corev1.Probe) bool { return p != nil && p.ProbeHandler != (corev1.ProbeHandler{}) }
	if hasAction(over.ReadinessProbe) {
		ours.ReadinessProbe = nil
	}
	if hasAction(over.StartupProbe) {
		ours.StartupProbe = nil
	}
	if over.Lifecycle != nil {
		ours.Lifecycle = nil
	}
	if len(over.Resources.Requests)+len(over.Resources.Limits) > 0 {
		ours.Resources = corev1.ResourceRequirements{}
	}
}

func mergeContainers(ours, over corev1.Container) (corev1.Container, error) {
	base, err := json.Marshal(ours)
	if err != nil {
		return ours, err
	}
	patch, err := json.Marshal(over)
	if err != nil {
		return ours, err
	}
	b, err := strategicpatch.StrategicMergePatch(base, patch, corev1.Container{})
	if err != nil {
		return ours, err
	}
	var merged corev1.Container
	err = json.Unmarshal(b, &merged)
	return merged, err
}
