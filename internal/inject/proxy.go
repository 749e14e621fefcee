package inject

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	proxyUID   = 1337  // traffic of this user and group is never captured
	readyPort  = 15021 // Envoy's own listener, which asks the agent
	readyPath  = "/healthz/ready"
	scrapePort = 15090
)

// proxyContainer is the container of the proxy before anything of the pod's owner is laid over it.
func proxyContainer(pod *corev1.Pod, in Inputs, s settings) corev1.Container {
	c := corev1.Container{
		Name:            ProxyContainer,
		Image:           s.image,
		ImagePullPolicy: in.ImagePullPolicy,
		Args: []string{
			"proxy", s.proxyType(), "--domain", "$(POD_NAMESPACE).svc." + in.ClusterDomain,
			"--proxyLogLevel=" + s.logLevel, "--proxyComponentLogLevel=" + s.componentLL, "--log_output_level=" + s.agentLL,
		},
		Ports:           []corev1.ContainerPort{{Name: "http-envoy-prom", ContainerPort: scrapePort, Protocol: corev1.ProtocolTCP}},
		Env:             proxyEnv(pod, in, s),
		Resources:       s.resources,
		VolumeMounts:    append(proxyMounts(), s.mounts...),
		SecurityContext: proxySecurity(s.netBind),
		Lifecycle:       proxyLifecycle(s),
	}
	if s.statusPort == 0 {
		return c
	}
	c.ReadinessProbe = readyProbe(s.readiness)
	if s.template == TemplateSidecar && *in.StartupTries > 0 {
		c.StartupProbe = readyProbe(Readiness{PeriodSeconds: 1, FailureThreshold: *in.StartupTries})
	}
	return c
}

func (s settings) proxyType() string {
	if s.template == TemplateGateway {
		return "router"
	}
	return "sidecar"
}

func readyProbe(r Readiness) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:        corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: readyPath, Port: intstr.FromInt32(readyPort)}},
		InitialDelaySeconds: r.InitialDelaySeconds,
		PeriodSeconds:       r.PeriodSeconds,
		TimeoutSeconds:      3,
		FailureThreshold:    r.FailureThreshold,
	}
}

// proxyLifecycle drains a native sidecar as soon as the pod begins to end, since it is stopped only after the
// application; a classic one that holds the application back is waited for.
func proxyLifecycle(s settings) *corev1.Lifecycle {
	run := func(command ...string) *corev1.LifecycleHandler {
		return &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: command}}
	}
	switch {
	case s.native && s.statusPort != 0:
		return &corev1.Lifecycle{PreStop: run("pilot-agent", "request", "--debug-port="+strconv.Itoa(int(s.statusPort)), "POST", "drain")}
	case s.holdsApplication() && !s.native && s.statusPort != 0:
		return &corev1.Lifecycle{PostStart: run("pilot-agent", "wait")}
	}
	return nil
}

func proxySecurity(netBind bool) *corev1.SecurityContext {
	security := &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false),
		Privileged:               new(false),
		ReadOnlyRootFilesystem:   new(true),
		RunAsNonRoot:             new(true),
		RunAsUser:                new(int64(proxyUID)),
		RunAsGroup:               new(int64(proxyUID)),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	if netBind {
		// A process that is not root loses added capabilities when it starts.
		security.RunAsNonRoot, security.RunAsUser = new(false), new(int64(0))
		security.Capabilities.Add = []corev1.Capability{"NET_BIND_SERVICE"}
	}
	return security
}

// captureContainer is the init container that writes the redirect rules of the pod's network namespace.
func captureContainer(in Inputs, s settings) corev1.Container {
	args := []string{
		"capture", "-p", "15001", "-z", "15006", "-u", "1337", "-m", modeRedirect,
		"-i", s.capture.includeCIDRs, "-x", s.capture.excludeCIDRs,
		"-b", s.capture.includeInbound, "-d", s.capture.excludeInbound,
	}
	if s.capture.includeOutbound != "" {
		args = append(args, "-q", s.capture.includeOutbound)
	}
	if s.capture.excludeOutbound != "" {
		args = append(args, "-o", s.capture.excludeOutbound)
	}
	if s.capture.virtualInterfaces != "" {
		args = append(args, "-k", s.capture.virtualInterfaces)
	}
	if s.capture.excludeInterfaces != "" {
		args = append(args, "-c", s.capture.excludeInterfaces)
	}
	if s.capturesDNS() {
		args = append(args, "--capture-dns")
	}
	return corev1.Container{
		Name:            InitContainer,
		Image:           s.image,
		ImagePullPolicy: in.ImagePullPolicy,
		Args:            args,
		Env:             metadataEnv(s.config),
		Resources:       *s.resources.DeepCopy(),
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false),
			Privileged:               new(false),
			ReadOnlyRootFilesystem:   new(false),
			RunAsNonRoot:             new(false),
			RunAsUser:                new(int64(0)),
			RunAsGroup:               new(int64(0)),
			Capabilities: &corev1.Capabilities{
				Drop: []corev1.Capability{"ALL"},
				Add:  []corev1.Capability{"NET_ADMIN", "NET_RAW"},
			},
		},
	}
}

// applications are the pod's containers that are not the proxy's: the regular ones and the user's own sidecars.
func applications(pod *corev1.Pod) []*corev1.Container {
	var apps []*corev1.Container
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if !ours(c.Name) && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			apps = append(apps, c)
		}
	}
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; !ours(c.Name) {
			apps = append(apps, c)
		}
	}
	return apps
}

func ours(container string) bool { return container == ProxyContainer || container == InitContainer }

func applicationNames(pod *corev1.Pod) string {
	var names []string
	for _, c := range applications(pod) {
		names = append(names, c.Name)
	}
	return strings.Join(names, ",")
}
