// Package inject turns a Pod as its owner wrote it into the Pod that joins the mesh: with the proxy beside the
// application (template "sidecar") or as the application (template "gateway").
//
// The admission webhook and the command line use it. It works on typed objects only, so no annotation can bring in a
// field that this package does not write. It never reads a cluster, never changes its arguments, and gives the same
// Pod for the same input; injecting a Pod that is injected already gives an equal Pod.
package inject

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

const (
	// ProxyContainer is the name of the container that runs the proxy. Istio's tools and people's scripts look for it.
	ProxyContainer = "istio-proxy"
	// InitContainer is the name of the init container that captures the pod's traffic.
	InitContainer = "istio-init"
	// TemplateSidecar puts the proxy beside the application. It is the default.
	TemplateSidecar = "sidecar"
	// TemplateGateway makes the proxy the application: an ingress, egress or east-west gateway.
	TemplateGateway = "gateway"

	// autoImage is what a gateway's own manifest gives as image to say "the mesh's".
	autoImage = "auto"
)

// Inject returns a copy of pod that is part of the mesh that in describes, or else what is wrong with the pod's
// annotations. The pod's namespace must be filled in. Whether the pod wants this at all is Decide's answer.
func Inject(pod *corev1.Pod, in Inputs) (*corev1.Pod, []Problem) {
	in = in.withDefaults()
	out, problems := withoutInjection(pod, in)
	if len(problems) > 0 {
		return nil, problems
	}
	s, problems := readSettings(out, in)
	if len(problems) > 0 {
		return nil, problems
	}

	own := takeOwnContainers(out)
	proxy, err := overlay(proxyContainer(out, in, s), own.proxy)
	if err != nil {
		return nil, []Problem{{Text: err.Error(), Fix: "correct the container " + ProxyContainer + " of the pod"}}
	}
	addMetricsMerge(out, &proxy, s)
	addRewrittenProbes(out, &proxy, s)
	setPlaceFromURL(&proxy, in, s)
	status := addVolumes(out, in, s)

	if s.captures() {
		capture, err := overlay(captureContainer(in, s), own.init)
		if err != nil {
			return nil, []Problem{{Text: err.Error(), Fix: "correct the container " + InitContainer + " of the pod"}}
		}
		out.Spec.InitContainers = placeCapture(out.Spec.InitContainers, capture, s.native)
		status.InitContainers = append(status.InitContainers, InitContainer)
	}
	placeProxy(&out.Spec, proxy, s, &status)
	if s.template == TemplateGateway {
		allowLowPorts(&out.Spec)
	}
	addMetadata(out, in, s, status, own)
	return out, nil
}

// placeCapture puts the capture first when the proxy follows it as an init container, so that init containers of the
// user go through the proxy too. Otherwise it comes last: before it runs, the user's init containers have a plain network.
func placeCapture(inits []corev1.Container, capture corev1.Container, native bool) []corev1.Container {
	if native {
		return slices.Insert(inits, 0, capture)
	}
	return append(inits, capture)
}

func placeProxy(spec *corev1.PodSpec, proxy corev1.Container, s settings, status *Status) {
	if s.native {
		always := corev1.ContainerRestartPolicyAlways
		proxy.RestartPolicy = &always
		spec.InitContainers = slices.Insert(spec.InitContainers, len(status.InitContainers), proxy)
		status.InitContainers = append(status.InitContainers, ProxyContainer)
		return
	}
	status.Containers = append(status.Containers, ProxyContainer)
	if s.holdsApplication() {
		spec.Containers = slices.Insert(spec.Containers, 0, proxy)
		return
	}
	spec.Containers = append(spec.Containers, proxy)
}

// allowLowPorts lets the proxy of a gateway bind ports under 1024 without root or capabilities.
func allowLowPorts(spec *corev1.PodSpec) {
	const name = "net.ipv4.ip_unprivileged_port_start"
	if spec.SecurityContext == nil {
		spec.SecurityContext = &corev1.PodSecurityContext{}
	}
	security := spec.SecurityContext
	if slices.ContainsFunc(security.Sysctls, func(s corev1.Sysctl) bool { return s.Name == name }) {
		return
	}
	security.Sysctls = append(security.Sysctls, corev1.Sysctl{Name: name, Value: "0"})
}
