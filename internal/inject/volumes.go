package inject

import (
	"bytes"
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// proxyMounts are the folders of the proxy; each has a volume of the same name in proxyVolumes.
func proxyMounts() []corev1.VolumeMount {
	return []corev1.VolumeMount{
		{Name: "workload-socket", MountPath: "/var/run/secrets/workload-spiffe-uds"},
		{Name: "credential-socket", MountPath: "/var/run/secrets/credential-uds"},
		{Name: "workload-certs", MountPath: "/var/run/secrets/workload-spiffe-credentials"},
		{Name: "istiod-ca-cert", MountPath: "/var/run/secrets/istio"},
		{Name: "istio-data", MountPath: "/var/lib/istio/data"},
		{Name: "istio-envoy", MountPath: "/etc/istio/proxy"},
		{Name: "istio-token", MountPath: "/var/run/secrets/tokens"},
		{Name: "istio-podinfo", MountPath: "/etc/istio/pod"},
	}
}

func proxyVolumes(in Inputs) []corev1.Volume {
	empty := func(name string, medium corev1.StorageMedium) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: medium}}}
	}
	file := func(name string) corev1.DownwardAPIVolumeFile {
		return corev1.DownwardAPIVolumeFile{Path: name, FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata." + name}}
	}
	return []corev1.Volume{
		empty("workload-socket", ""),
		empty("credential-socket", ""),
		empty("workload-certs", ""),
		empty("istio-envoy", corev1.StorageMediumMemory),
		empty("istio-data", ""),
		{Name: "istio-podinfo", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{
			Items: []corev1.DownwardAPIVolumeFile{file("labels"), file("annotations")},
		}}},
		{Name: "istio-token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Audience: in.TokenAudience, ExpirationSeconds: new(int64(43200)), Path: "istio-token",
			}}},
		}}},
		{Name: "istiod-ca-cert", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "istio-ca-root-cert"},
		}}},
	}
}

// addVolumes adds what the proxy mounts and tells what it added. A volume that the pod has already stays as it is.
func addVolumes(pod *corev1.Pod, in Inputs, s settings) Status {
	var added Status
	for _, v := range append(proxyVolumes(in), s.volumes...) {
		if slices.ContainsFunc(pod.Spec.Volumes, func(has corev1.Volume) bool { return has.Name == v.Name }) {
			continue
		}
		pod.Spec.Volumes = append(pod.Spec.Volumes, v)
		added.Volumes = append(added.Volumes, v.Name)
	}
	for _, name := range in.ImagePullSecrets {
		ref := corev1.LocalObjectReference{Name: name}
		if !slices.Contains(pod.Spec.ImagePullSecrets, ref) {
			pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, ref)
			added.ImagePullSecrets = append(added.ImagePullSecrets, name)
		}
	}
	return added
}

// userVolumes takes {"name": {"emptyDir": {}}} or [{"name": "name", "emptyDir": {}}].
func (a *annotations) userVolumes() []corev1.Volume {
	value, said := a.values[userVolumeKey]
	if !said {
		return nil
	}
	var volumes []corev1.Volume
	var byName map[string]corev1.VolumeSource
	if strict(value, &byName) == nil {
		for _, name := range sortedKeys(byName) {
			volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: byName[name]})
		}
	} else if err := strict(value, &volumes); err != nil {
		a.refuse(userVolumeKey, err.Error(), `use {"NAME": {"secret": {"secretName": "..."}}} with any source of a Pod's volume`)
		return nil
	}
	for _, v := range volumes {
		if len(validation.IsDNS1123Label(v.Name)) > 0 {
			a.refuse(userVolumeKey, "a volume's name is not a DNS label", "use lower-case letters, digits and '-'")
		}
		if slices.ContainsFunc(proxyMounts(), func(m corev1.VolumeMount) bool { return m.Name == v.Name }) {
			a.refuse(userVolumeKey, "volume "+v.Name+" is the proxy's own", "give it another name")
		}
	}
	return volumes
}

// userMounts takes {"name": {"mountPath": "/x"}} or [{"name": "name", "mountPath": "/x"}].
func (a *annotations) userMounts() []corev1.VolumeMount {
	value, said := a.values[userVolumeMountKey]
	if !said {
		return nil
	}
	var mounts []corev1.VolumeMount
	var byName map[string]corev1.VolumeMount
	if strict(value, &byName) == nil {
		for _, name := range sortedKeys(byName) {
			m := byName[name]
			m.Name = name
			mounts = append(mounts, m)
		}
	} else if err := strict(value, &mounts); err != nil {
		a.refuse(userVolumeMountKey, err.Error(), `use {"NAME": {"mountPath": "/path"}} with the fields of a container's volumeMounts`)
		return nil
	}
	for _, m := range mounts {
		if m.Name == "" || m.MountPath == "" {
			a.refuse(userVolumeMountKey, "a mount without name or mountPath", "give both")
		}
		if slices.ContainsFunc(proxyMounts(), func(own corev1.VolumeMount) bool { return own.MountPath == m.MountPath }) {
			a.refuse(userVolumeMountKey, m.MountPath+" is the proxy's own", "mount it elsewhere")
		}
	}
	return mounts
}

// strict reads JSON of which every field must be known, and nothing may follow it.
func strict(value string, into any) error {
	d := json.NewDecoder(bytes.NewReader([]byte(value)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errTrailing
	}
	return nil
}
