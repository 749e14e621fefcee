package inject

import (
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// withoutInjection is a copy of the pod as it was before an earlier injection; a pod without one is just copied.
// Only what injection adds is ever taken away, whatever the status annotation claims.
func withoutInjection(pod *corev1.Pod, in Inputs) (*corev1.Pod, []Problem) {
	out := pod.DeepCopy()
	value, injected := out.Annotations[statusKey]
	if !injected {
		delete(out.Annotations, overridesKey) // only beside a status is it ours
		return out, nil
	}
	var status Status
	if err := json.Unmarshal([]byte(value), &status); err != nil {
		return nil, []Problem{{Annotation: statusKey, Value: value, Text: "not a status that injection wrote", Fix: "remove the annotation"}}
	}
	if proxy := injectedProxy(&out.Spec); proxy != nil {
		restoreProbes(out, proxy)
		restoreScrape(out, proxy)
	}
	dropAdded(out, status, in)
	var own ownContainers
	if value, saved := out.Annotations[overridesKey]; saved {
		if err := strict(value, &own); err != nil {
			return nil, []Problem{{Annotation: overridesKey, Value: value, Text: err.Error(), Fix: "remove the annotation"}}
		}
	}
	own.putBack(&out.Spec)
	delete(out.Annotations, statusKey)
	delete(out.Annotations, overridesKey)
	return out, nil
}

func injectedProxy(spec *corev1.PodSpec) *corev1.Container {
	isProxy := func(c corev1.Container) bool { return c.Name == ProxyContainer }
	for _, containers := range [][]corev1.Container{spec.Containers, spec.InitContainers} {
		if i := slices.IndexFunc(containers, isProxy); i >= 0 {
			return &containers[i]
		}
	}
	return nil
}

func dropAdded(pod *corev1.Pod, status Status, in Inputs) {
	spec := &pod.Spec
	added := func(names []string) func(corev1.Container) bool {
		return func(c corev1.Container) bool { return ours(c.Name) && slices.Contains(names, c.Name) }
	}
	spec.InitContainers = slices.DeleteFunc(spec.InitContainers, added(status.InitContainers))
	spec.Containers = slices.DeleteFunc(spec.Containers, added(status.Containers))

	var volumes []string
	for _, m := range proxyMounts() {
		volumes = append(volumes, m.Name)
	}
	for _, v := range (&annotations{values: pod.Annotations}).userVolumes() {
		volumes = append(volumes, v.Name)
	}
	spec.Volumes = slices.DeleteFunc(spec.Volumes, func(v corev1.Volume) bool {
		return slices.Contains(volumes, v.Name) && slices.Contains(status.Volumes, v.Name)
	})
	spec.ImagePullSecrets = slices.DeleteFunc(spec.ImagePullSecrets, func(ref corev1.LocalObjectReference) bool {
		return slices.Contains(status.ImagePullSecrets, ref.Name) && slices.Contains(in.ImagePullSecrets, ref.Name)
	})
}
