package inject

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var errTrailing = errors.New("more after the JSON value")

// prober is one probe or hook of the application as the agent gets it. The kubelet has no certificate of the mesh,
// so it asks the agent, and the agent asks the application.
type prober struct {
	HTTPGet        *corev1.HTTPGetAction   `json:"httpGet,omitempty"`
	TCPSocket      *corev1.TCPSocketAction `json:"tcpSocket,omitempty"`
	GRPC           *corev1.GRPCAction      `json:"grpc,omitempty"`
	TimeoutSeconds int32                   `json:"timeoutSeconds,omitempty"`
}

// handler is one place in a container that can name an action of the application; its fields point into the pod.
type handler struct {
	path    string
	httpGet **corev1.HTTPGetAction
	tcp     **corev1.TCPSocketAction
	grpc    **corev1.GRPCAction // nil for hooks, which have no gRPC
	timeout int32
}

func handlersOf(c *corev1.Container) []handler {
	var all []handler
	probe := func(name string, p *corev1.Probe) {
		if p != nil {
			all = append(all, handler{"/app-health/" + c.Name + "/" + name, &p.HTTPGet, &p.TCPSocket, &p.GRPC, p.TimeoutSeconds})
		}
	}
	hook := func(name string, h *corev1.LifecycleHandler) {
		if h != nil {
			all = append(all, handler{"/app-lifecycle/" + c.Name + "/" + name, &h.HTTPGet, &h.TCPSocket, nil, 0})
		}
	}
	probe("readyz", c.ReadinessProbe)
	probe("livez", c.LivenessProbe)
	probe("startupz", c.StartupProbe)
	if c.Lifecycle != nil {
		hook("prestopz", c.Lifecycle.PreStop)
		hook("poststartz", c.Lifecycle.PostStart)
	}
	return all
}

// addRewrittenProbes points the application's probes and hooks at the agent and gives it the originals.
func addRewrittenProbes(pod *corev1.Pod, proxy *corev1.Container, s settings) {
	if !s.rewrite {
		return
	}
	originals := map[string]prober{}
	for _, c := range applications(pod) {
		for _, h := range handlersOf(c) {
			if original, ok := h.original(c.Ports); ok {
				originals[h.path] = original
				h.pointAtAgent(s.statusPort)
			}
		}
	}
	if len(originals) > 0 {
		proxy.Env = withEnv(proxy.Env, corev1.EnvVar{Name: probersEnv, Value: mustJSON(originals)})
	}
}

// original is the action with its port as a number. A probe of another host, or of a port name that the container
// does not have, is left to the kubelet: it would not reach the application through the agent either.
func (h handler) original(ports []corev1.ContainerPort) (prober, bool) {
	p := prober{TimeoutSeconds: h.timeout}
	switch {
	case *h.httpGet != nil:
		p.HTTPGet = (*h.httpGet).DeepCopy()
		return p, p.HTTPGet.Host == "" && resolvePort(&p.HTTPGet.Port, ports)
	case *h.tcp != nil:
		p.TCPSocket = (*h.tcp).DeepCopy()
		return p, p.TCPSocket.Host == "" && resolvePort(&p.TCPSocket.Port, ports)
	case h.grpc != nil && *h.grpc != nil:
		p.GRPC = (*h.grpc).DeepCopy()
		return p, true
	}
	return p, false
}

func resolvePort(port *intstr.IntOrString, ports []corev1.ContainerPort) bool {
	if port.Type == intstr.Int {
		return true
	}
	i := slices.IndexFunc(ports, func(p corev1.ContainerPort) bool { return p.Name == port.StrVal })
	if i < 0 {
		return false
	}
	*port = intstr.FromInt32(ports[i].ContainerPort)
	return true
}

func (h handler) pointAtAgent(port int32) {
	*h.httpGet = &corev1.HTTPGetAction{Path: h.path, Port: intstr.FromInt32(port), Scheme: corev1.URISchemeHTTP}
	*h.tcp = nil
	if h.grpc != nil {
		*h.grpc = nil
	}
}

// restoreProbes undoes addRewrittenProbes with what the injected proxy was told.
func restoreProbes(pod *corev1.Pod, proxy *corev1.Container) {
	originals := map[string]prober{}
	if json.Unmarshal([]byte(envOf(proxy, probersEnv)), &originals) != nil {
		return
	}
	for _, c := range applications(pod) {
		for _, h := range handlersOf(c) {
			original, ok := originals[h.path]
			if !ok || *h.httpGet == nil || !strings.HasPrefix((*h.httpGet).Path, h.path) {
				continue
			}
			*h.httpGet, *h.tcp = original.HTTPGet, original.TCPSocket
			if h.grpc != nil {
				*h.grpc = original.GRPC
			}
		}
	}
}

func envOf(c *corev1.Container, name string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}
