package inject

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestOwnersFieldsOnTheProxyWin(t *testing.T) {
	t.Parallel()
	pod := plainPod(nil)
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{
		Name: ProxyContainer, Image: "mine.example/proxy:1", ImagePullPolicy: corev1.PullAlways,
		Env:            []corev1.EnvVar{{Name: "POD_NAME", Value: "fixed"}},
		ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(1)}}},
		StartupProbe:   &corev1.Probe{PeriodSeconds: 7},
		VolumeMounts:   []corev1.VolumeMount{{Name: "mine", MountPath: "/mine"}},
	})
	got, proxy := injected(t, pod, Inputs{NativeSidecar: true, ImagePullPolicy: corev1.PullIfNotPresent})

	if proxy.Image != "mine.example/proxy:1" || proxy.ImagePullPolicy != corev1.PullAlways {
		t.Errorf("image %s, policy %s", proxy.Image, proxy.ImagePullPolicy)
	}
	for _, e := range proxy.Env {
		if e.Name == "POD_NAME" && (e.Value != "fixed" || e.ValueFrom != nil) {
			t.Errorf("POD_NAME is %v", e)
		}
	}
	if p := proxy.ReadinessProbe; p.HTTPGet != nil || p.TCPSocket == nil {
		t.Errorf("readiness probe %v", p)
	}
	if p := proxy.StartupProbe; p.PeriodSeconds != 7 || p.HTTPGet == nil || p.FailureThreshold != 600 {
		t.Errorf("startup probe %v: want the owner's period and our action", p)
	}
	if len(proxy.VolumeMounts) != len(proxyMounts())+1 {
		t.Errorf("mounts %v", proxy.VolumeMounts)
	}
	if len(got.Spec.Containers) != 1 || proxy.RestartPolicy == nil {
		t.Errorf("the proxy is not a native sidecar: %v", got.Spec.Containers)
	}
}

func TestAutoImageTakesTheMeshsPullPolicy(t *testing.T) {
	t.Parallel()
	for own, want := range map[corev1.PullPolicy]corev1.PullPolicy{
		corev1.PullAlways: corev1.PullIfNotPresent, // what the API server makes of "auto"
		corev1.PullNever:  corev1.PullNever,
	} {
		pod := plainPod(map[string]string{templatesKey: TemplateGateway})
		pod.Spec.Containers = []corev1.Container{{Name: ProxyContainer, Image: "auto", ImagePullPolicy: own}}
		_, proxy := injected(t, pod, Inputs{Hub: "hub.example", Tag: "1", ImagePullPolicy: corev1.PullIfNotPresent})
		if proxy.Image != "hub.example/proxy:1" || proxy.ImagePullPolicy != want {
			t.Errorf("pod says %s: image %s, policy %s, want %s", own, proxy.Image, proxy.ImagePullPolicy, want)
		}
	}
}

func TestInterceptionNoneHasNoInitContainer(t *testing.T) {
	t.Parallel()
	pod, proxy := injected(t, plainPod(map[string]string{interceptionKey: "NONE"}), Inputs{})
	if len(pod.Spec.InitContainers) != 0 || envOf(proxy, "ISTIO_META_INTERCEPTION_MODE") != "NONE" || envOf(proxy, dnsCaptureKey) != "" {
		t.Errorf("init containers %v, mode %s, DNS capture %q", pod.Spec.InitContainers, envOf(proxy, "ISTIO_META_INTERCEPTION_MODE"), envOf(proxy, dnsCaptureKey))
	}
}

func TestStatusPortZeroTurnsProbesAndMetricsOff(t *testing.T) {
	t.Parallel()
	pod := plainPod(map[string]string{statusPortKey: "0"})
	pod.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(80)}}}
	got, proxy := injected(t, pod, Inputs{})
	if proxy.ReadinessProbe != nil || proxy.StartupProbe != nil || got.Annotations[promPortKey] != "" {
		t.Errorf("probes %v %v, annotations %v", proxy.ReadinessProbe, proxy.StartupProbe, got.Annotations)
	}
	if got.Spec.Containers[0].LivenessProbe.TCPSocket == nil {
		t.Error("the application's probe was rewritten to an agent that does not listen")
	}
}
