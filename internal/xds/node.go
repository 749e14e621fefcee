package xds

import (
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// maxNode bounds the node of a first request, in bytes. Annotations alone may have 256 KiB.
const maxNode = 1 << 20

// parseNode reads who a proxy is from the node of its first request. The id is TYPE~IP~POD.NAMESPACE~DOMAIN, and the
// metadata are the agent's ISTIO_META_ settings.
func parseNode(n *corev3.Node) (view.Proxy, error) {
	if n.GetId() == "" {
		return view.Proxy{}, fmt.Errorf("missing node information")
	}
	if size := proto.Size(n); size > maxNode {
		return view.Proxy{}, fmt.Errorf("node has %d bytes, more than %d", size, maxNode)
	}
	parts := strings.Split(n.GetId(), "~")
	if len(parts) != 4 {
		return view.Proxy{}, fmt.Errorf("node id %.200q is not TYPE~IP~POD.NAMESPACE~DOMAIN", n.GetId())
	}
	meta := n.GetMetadata().GetFields()
	p := view.Proxy{
		Cluster:        model.Cluster(text(meta, "CLUSTER_ID")),
		Network:        model.Network(text(meta, "NETWORK")),
		Namespace:      text(meta, "NAMESPACE"),
		ServiceAccount: text(meta, "SERVICE_ACCOUNT"),
		Labels:         texts(meta["LABELS"]),
		RequestedView:  text(meta, "REQUESTED_NETWORK_VIEW"),
		NoCapture:      text(meta, "INTERCEPTION_MODE") == "NONE",
		Version:        text(meta, "ISTIO_VERSION"),
	}
	switch parts[0] {
	case "sidecar":
		p.Kind = view.Sidecar
	case "router":
		p.Kind = view.Gateway
	default:
		return view.Proxy{}, fmt.Errorf("node id %.200q: proxy type %.20q is neither sidecar nor router", n.GetId(), parts[0])
	}
	name, namespace := parts[2], ""
	if dot := strings.LastIndexByte(parts[2], '.'); dot >= 0 {
		name, namespace = parts[2][:dot], parts[2][dot+1:]
	}
	if p.Namespace == "" {
		p.Namespace, _, _ = strings.Cut(parts[3], ".")
	}
	if p.Namespace == "" {
		p.Namespace = namespace
	}
	if p.Namespace == "" || name == "" {
		return view.Proxy{}, fmt.Errorf("node id %.200q names no pod and namespace", n.GetId())
	}
	p.Name = name
	return p, nil
}

func text(meta map[string]*structpb.Value, key string) string { return meta[key].GetStringValue() }

// texts gives the entries of an object that are text.
func texts(v *structpb.Value) map[string]string {
	fields := v.GetStructValue().GetFields()
	if len(fields) == 0 {
		return nil
	}
	out := make(map[string]string, len(fields))
	for k, f := range fields {
		if s, ok := f.GetKind().(*structpb.Value_StringValue); ok {
			out[k] = s.StringValue
		}
	}
	return out
}
