package inject

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

const (
	modeRedirect = "REDIRECT"
	modeNone     = "NONE"

	dnsCaptureKey = "ISTIO_META_DNS_CAPTURE"
)

// settings is every decision about one pod. What writes the pod only looks them up.
type settings struct {
	template    string
	native      bool
	mode        string // modeRedirect or modeNone
	capture     captured
	config      proxyConfig
	statusPort  int32 // 0: no probes, no merged metrics
	readiness   Readiness
	resources   corev1.ResourceRequirements
	image       string
	logLevel    string
	componentLL string
	agentLL     string
	netBind     bool
	rewrite     bool // application probes go through the agent
	merge       bool // the agent scrapes the application's metrics along
	targets     []scrapeTarget
	volumes     []corev1.Volume      // from the userVolume annotation
	mounts      []corev1.VolumeMount // from the userVolumeMount annotation
	network     string
	workload    workload
}

// captured is Capture with everything decided.
type captured struct {
	includeCIDRs, excludeCIDRs       string
	includeInbound, excludeInbound   string
	includeOutbound, excludeOutbound string
	virtualInterfaces                string
	excludeInterfaces                string
}

func (s settings) captures() bool { return s.template == TemplateSidecar && s.mode == modeRedirect }

func (s settings) holdsApplication() bool {
	return s.template == TemplateSidecar && s.config.message.GetHoldApplicationUntilProxyStarts().GetValue()
}

func (s settings) capturesDNS() bool {
	return s.captures() && s.config.message.GetProxyMetadata()[dnsCaptureKey] == "true"
}

func readSettings(pod *corev1.Pod, in Inputs) (settings, []Problem) {
	a := &annotations{values: pod.Annotations}
	for _, key := range sortedKeys(unsupported) {
		if _, said := a.values[key]; said {
			a.refuse(key, "not supported", unsupported[key])
		}
	}
	s := settings{template: a.template(), workload: workloadOf(pod)}
	s.native = a.boolean(nativeKey, in.NativeSidecar) && s.template == TemplateSidecar
	s.config = a.proxyConfig(in)
	s.mode = a.mode(s.config)
	s.statusPort = a.statusPort(&s.config, in)
	a.finishConfig(&s, in)
	s.capture = a.captured(in.Capture, s.statusPort)
	s.readiness = a.readiness(in.Readiness, s.template)
	s.resources = a.resources(in.Resources)
	s.image = in.image(a.matching(imageKey, imageReference, in.Image, "use an image reference such as "+in.image("proxy")))
	a.matching(imageTypeKey, imageType, "", "use default, distroless or debug")
	s.logLevel = a.matching(logLevelKey, logLevel, in.LogLevel, "use one of "+envoyLevels)
	s.componentLL = a.matching(componentLogLevelKey, componentLogLevel, in.ComponentLogLevel, "use COMPONENT:LEVEL,..., such as misc:error")
	s.agentLL = a.matching(agentLogLevelKey, agentLogLevel, in.AgentLogLevel, "use SCOPE:LEVEL,..., such as default:info")
	if !strings.Contains(s.agentLL, ":") {
		s.agentLL = "default:" + s.agentLL
	}
	s.netBind = a.boolean(netBindKey, false)
	s.rewrite = a.boolean(rewriteProbesKey, !in.KeepAppProbes) && s.template == TemplateSidecar && s.statusPort != 0
	s.merge = a.boolean(mergeMetricsKey, !in.KeepScrapeTargets) && s.template == TemplateSidecar &&
		s.statusPort != 0 && a.values[promScrapeKey] != "false"
	s.targets = a.scrapeTargets()
	s.volumes, s.mounts = a.userVolumes(), a.userMounts()
	s.network = firstOf(pod.Labels[networkLabel], in.Env["ISTIO_META_NETWORK"], in.Network)
	if problems := validation.IsValidLabelValue(s.network); len(problems) > 0 {
		a.problems = append(a.problems, Problem{
			Text: "network " + shortened(strconv.Quote(s.network)) + " cannot be a label's value", Fix: "use letters, digits, '-', '_' and '.', 63 at most",
		})
	}
	return s, a.problems
}

func (a *annotations) template() string {
	switch name := strings.TrimSpace(a.values[templatesKey]); name {
	case "", TemplateSidecar:
		return TemplateSidecar
	case TemplateGateway:
		return TemplateGateway
	default:
		a.refuse(templatesKey, "no such template", "use sidecar or gateway")
		return TemplateSidecar
	}
}

func (a *annotations) proxyConfig(in Inputs) proxyConfig {
	c, err := mergeProxyConfig(in.ProxyConfig, a.values[proxyConfigKey])
	if err == nil {
		return c
	}
	a.refuse(proxyConfigKey, err.Error(), "use fields of ProxyConfig as YAML, such as holdApplicationUntilProxyStarts: true")
	c, err = mergeProxyConfig(in.ProxyConfig, "")
	if err != nil {
		a.problems = append(a.problems, Problem{Text: err.Error(), Fix: "correct defaultConfig in the mesh's configuration"})
		c = proxyConfig{fields: map[string]any{}}
	}
	return c
}

// mode decides how traffic reaches the proxy. TPROXY would need a privileged proxy and marks on every packet.
func (a *annotations) mode(c proxyConfig) string {
	mode, said := a.values[interceptionKey]
	if !said {
		mode = c.message.GetInterceptionMode().String()
	}
	switch mode {
	case modeRedirect, modeNone:
		return mode
	case "TPROXY":
		a.problems = append(a.problems, Problem{
			Annotation: interceptionKey, Value: mode,
			Text: "TPROXY is not supported: the proxy would have to run as root with NET_ADMIN",
			Fix:  "use REDIRECT, or NONE for a pod whose applications call the proxy themselves",
		})
	default:
		a.refuse(interceptionKey, "no such mode", "use REDIRECT or NONE")
	}
	return modeRedirect
}

func (a *annotations) statusPort(c *proxyConfig, in Inputs) int32 {
	port := *in.StatusPort
	if own := c.message.GetStatusPort(); own != 0 {
		port = own
	}
	port = a.number(statusPortKey, 0, 65535, port)
	if port != 15020 {
		c.fields["statusPort"] = port // the agent listens where the pod's probes go
	}
	return port
}

// finishConfig adds what the proxy has to be told when neither mesh nor pod says it.
func (a *annotations) finishConfig(s *settings, in Inputs) {
	if own := a.matching(discoveryKey, address, "", "use HOST:PORT"); own != "" {
		s.config.fields["discoveryAddress"] = own
	}
	s.config.setDefault("discoveryAddress", in.istiodAddress())
	if s.captures() {
		s.config.setMetadataDefault(dnsCaptureKey, "true")
	}
	if err := s.config.refresh(); err != nil {
		a.refuse(proxyConfigKey, err.Error(), "use fields of ProxyConfig as YAML")
	}
	for _, name := range sortedKeys(s.config.message.GetProxyMetadata()) {
		if problems := validation.IsEnvVarName(name); len(problems) > 0 {
			a.refuse(proxyConfigKey, "proxyMetadata "+shortened(strconv.Quote(name))+" cannot be an environment variable", "use letters, digits, '_', '-' and '.'")
		}
	}
}

func (a *annotations) captured(mesh Capture, statusPort int32) captured {
	excluded := []string{"15090", "15021"}
	if statusPort != 0 {
		excluded = append(excluded, strconv.Itoa(int(statusPort)))
	}
	for _, port := range strings.Split(a.ports(excludeInPortsKey, mesh.ExcludeInboundPorts, false), ",") {
		if port != "" && !slices.Contains(excluded, port) {
			excluded = append(excluded, port)
		}
	}
	c := captured{
		includeCIDRs:      a.cidrs(includeOutRangesKey, mesh.IncludeOutboundCIDRs, true),
		excludeCIDRs:      a.cidrs(excludeOutRangesKey, mesh.ExcludeOutboundCIDRs, false),
		includeInbound:    a.ports(includeInPortsKey, mesh.IncludeInboundPorts, true),
		excludeInbound:    strings.Join(excluded, ","),
		includeOutbound:   a.ports(includeOutPortsKey, orEmpty(mesh.IncludeOutboundPorts), true),
		excludeOutbound:   a.ports(excludeOutPortsKey, mesh.ExcludeOutboundPorts, false),
		virtualInterfaces: firstOf(a.interfaces(rerouteInterfacesKey, nil), a.interfaces(kubevirtInterfacesKey, nil)),
		excludeInterfaces: a.interfaces(excludeInterfacesKey, mesh.ExcludeInterfaces),
	}
	if c.includeOutbound == "*" { // every port of every address
		c.includeCIDRs, c.includeOutbound = "*", ""
	}
	return c
}

// readiness has no startup probe to lean on in a gateway, so there it asks often from the beginning, and gives up
// after the same minute.
func (a *annotations) readiness(r Readiness, template string) Readiness {
	period, threshold := int32(15), int32(4)
	if template == TemplateGateway {
		period, threshold = 2, 30
	}
	if r.PeriodSeconds != 0 && template != TemplateGateway {
		period = r.PeriodSeconds
	}
	if r.FailureThreshold != 0 && template != TemplateGateway {
		threshold = r.FailureThreshold
	}
	return Readiness{
		InitialDelaySeconds: a.number(initialDelayKey, 0, 3600, r.InitialDelaySeconds),
		PeriodSeconds:       a.number(periodKey, 1, 3600, period),
		FailureThreshold:    a.number(failureThresholdKey, 1, 3600, threshold),
	}
}

// resources are the pod's own as soon as it names one of them, as in Istio: a request from the pod beside a limit
// from the mesh may exceed it.
func (a *annotations) resources(mesh *corev1.ResourceRequirements) corev1.ResourceRequirements {
	own := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	for _, from := range []struct {
		key  string
		list corev1.ResourceList
		name corev1.ResourceName
	}{
		{cpuKey, own.Requests, corev1.ResourceCPU},
		{memoryKey, own.Requests, corev1.ResourceMemory},
		{cpuLimitKey, own.Limits, corev1.ResourceCPU},
		{memoryLimitKey, own.Limits, corev1.ResourceMemory},
	} {
		if q, said := a.quantity(from.key); said {
			from.list[from.name] = q
		}
	}
	if len(own.Requests)+len(own.Limits) == 0 {
		return *mesh.DeepCopy()
	}
	a.checkLimit(own, corev1.ResourceCPU, cpuKey, cpuLimitKey)
	a.checkLimit(own, corev1.ResourceMemory, memoryKey, memoryLimitKey)
	return own
}

func (a *annotations) checkLimit(r corev1.ResourceRequirements, name corev1.ResourceName, key, limitKey string) {
	request, limit := quantityOf(r.Requests, name), quantityOf(r.Limits, name)
	if request != nil && limit != nil && request.Cmp(*limit) > 0 {
		a.refuse(key, "more than the limit "+limit.String(), "lower it or raise "+limitKey)
	}
}

func quantityOf(list corev1.ResourceList, name corev1.ResourceName) *resource.Quantity {
	if q, ok := list[name]; ok {
		return &q
	}
	return nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func orEmpty(s *string) *string {
	if s == nil {
		return new(string)
	}
	return s
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
