package inject

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// takenFromAnnotations are the keys whose values injection uses.
var takenFromAnnotations = []string{
	templatesKey, proxyConfigKey, overridesKey, statusKey, nativeKey, interceptionKey, discoveryKey, imageKey,
	imageTypeKey, cpuKey, cpuLimitKey, memoryKey, memoryLimitKey, logLevelKey, componentLogLevelKey, agentLogLevelKey,
	netBindKey, rewriteProbesKey, userVolumeKey, userVolumeMountKey, statusPortKey, initialDelayKey, periodKey,
	failureThresholdKey, mergeMetricsKey, scrapeTargetsKey, includeInPortsKey, excludeInPortsKey, includeOutPortsKey,
	excludeOutPortsKey, includeOutRangesKey, excludeOutRangesKey, excludeInterfacesKey, kubevirtInterfacesKey,
	rerouteInterfacesKey, bootstrapOverrideKey,
}

// FuzzHostileAnnotations holds injection to its promise: whatever an annotation says, the pod gets no privilege, no
// container but ours, and no volume that reaches the node, beyond what the value of a userVolume spells out.
func FuzzHostileAnnotations(f *testing.F) {
	for _, seed := range []string{
		"true", "0", "*", "80", "10.0.0.0/8", "gateway", "NONE", "100m", "debug",
		"1\"}]}\n  - name: evil\n    securityContext: {privileged: true}",
		"debug\n    securityContext:\n      privileged: true",
		"hub/x:1\"\nsecurityContext: {privileged: true}",
		`{"containers":["app"],"volumes":["data"]}`,
		`{"containers":[{"name":"evil","image":"evil","securityContext":{"privileged":true}}]}`,
		`{"proxyMetadata":{"A=B":"c"}}`,
		"proxyMetadata: {X: \"1\\n- name: Y\"}",
		"{{ .Values }}", "$(POD_NAME)", "\x00", "---\na: b\n---\n",
	} {
		for i := range takenFromAnnotations {
			f.Add(i, seed)
		}
	}
	f.Fuzz(func(t *testing.T, key int, value string) {
		if key < 0 || key >= len(takenFromAnnotations) {
			t.Skip()
		}
		name := takenFromAnnotations[key]
		pod := plainPod(map[string]string{name: value})
		pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
		got, problems := Inject(pod, Inputs{})
		if len(problems) > 0 {
			return
		}
		checkNothingGained(t, pod, got, name)
		again, problems := Inject(got, Inputs{})
		if len(problems) > 0 {
			t.Fatalf("second injection refused: %s", Describe(problems))
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Errorf("second injection differs:\n%s", diff)
		}
	})
}

func checkNothingGained(t *testing.T, pod, got *corev1.Pod, key string) {
	t.Helper()
	seen := map[string]int{}
	for _, c := range append(append([]corev1.Container{}, got.Spec.InitContainers...), got.Spec.Containers...) {
		seen[c.Name]++
		if !ours(c.Name) && c.Name != "app" {
			t.Errorf("new container %q", c.Name)
		}
		if s := c.SecurityContext; s != nil && s.Privileged != nil && *s.Privileged {
			t.Errorf("container %s is privileged", c.Name)
		}
		for _, e := range c.Env {
			if e.ValueFrom != nil && (e.ValueFrom.SecretKeyRef != nil || e.ValueFrom.ConfigMapKeyRef != nil) {
				t.Errorf("variable %s reads an object", e.Name)
			}
		}
	}
	if seen["app"] != 1 || seen[ProxyContainer] != 1 || seen[InitContainer] > 1 {
		t.Errorf("containers %v", seen)
	}
	if !cmp.Equal(pod.Spec.Containers[0], *applications(got)[0]) {
		t.Error("the application's container changed")
	}
	if got.Spec.Volumes[0].Name != "data" {
		t.Error("the application's volume is gone")
	}
	for _, v := range got.Spec.Volumes {
		if key != userVolumeKey && (v.HostPath != nil || v.Secret != nil) {
			t.Errorf("volume %s reaches %v", v.Name, v.VolumeSource)
		}
	}
}
