package view

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// InboundPort is a port on which a workload serves, once however many services select it.
type InboundPort struct {
	TargetPort  uint16
	Protocol    model.Protocol
	ServicePort uint16
	Service     model.Hostname
}

// InboundText writes the ports that a workload serves as one canonical text, so that workloads that serve the same
// ports share one class.
func InboundText(w *model.Workload) string {
	if w == nil {
		return ""
	}
	var b strings.Builder
	var last uint16
	for _, in := range w.Inbound {
		if in.TargetPort == last || Reserved(in.TargetPort) {
			continue // the first service, by order of name, says what the port speaks
		}
		last = in.TargetPort
		fmt.Fprintf(&b, "%d,%d,%d,%s;", in.TargetPort, in.ServicePort.Protocol, in.ServicePort.Number, in.Service)
	}
	return b.String()
}

// InboundPorts reads what InboundText wrote.
func InboundPorts(text string) []InboundPort {
	var ports []InboundPort
	for item := range strings.SplitSeq(text, ";") {
		fields := strings.SplitN(item, ",", 4)
		if len(fields) != 4 {
			continue
		}
		target, _ := strconv.ParseUint(fields[0], 10, 16)
		protocol, _ := strconv.ParseUint(fields[1], 10, 8)
		number, _ := strconv.ParseUint(fields[2], 10, 16)
		ports = append(ports, InboundPort{
			TargetPort: uint16(target), Protocol: model.Protocol(protocol),
			ServicePort: uint16(number), Service: model.Hostname(fields[3]),
		})
	}
	return ports
}

// portsText writes which service ports of a gateway's own Services lead to which of its pod's ports.
func portsText(w *model.Workload) string {
	if w == nil {
		return ""
	}
	var items []string
	for _, in := range w.Inbound {
		items = append(items, fmt.Sprintf("%d=%d", in.ServicePort.Number, in.TargetPort))
	}
	slices.Sort(items)
	return strings.Join(slices.Compact(items), ",")
}

// targetPort reads portsText: where connections to a port of the gateway's Service arrive in the pod. A port that no
// Service has is taken as it is.
func targetPort(text string, number uint16) uint16 {
	prefix := strconv.Itoa(int(number)) + "="
	for item := range strings.SplitSeq(text, ",") {
		if rest, ok := strings.CutPrefix(item, prefix); ok {
			if target, err := strconv.ParseUint(rest, 10, 16); err == nil {
				return uint16(target)
			}
		}
	}
	return number
}
