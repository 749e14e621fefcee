package bootstrap

import (
	"encoding/json"
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

// Node is how Envoy introduces itself on its first xDS request.
func Node(f Facts) (*corev3.Node, error) {
	metadata, err := Metadata(f)
	if err != nil {
		return nil, err
	}
	return &corev3.Node{
		Id:       f.NodeID(),
		Cluster:  f.NodeCluster(),
		Locality: locality(f.Labels),
		Metadata: metadata,
	}, nil
}

// Metadata is the node metadata, with Istio's keys and types: strings, but for LABELS, ANNOTATIONS, PROXY_CONFIG and what
// ISTIO_METAJSON_x holds, which are objects.
func Metadata(f Facts) (*structpb.Struct, error) {
	fields := map[string]any{}
	for key, value := range f.Meta {
		fields[key] = value
	}
	for key, text := range f.MetaJSON {
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			return nil, fmt.Errorf("read %s%s: %w", metaJSONPrefix, key, err)
		}
		if key == "LABELS" {
			key = "STATIC_LABELS"
		}
		fields[key] = value
	}
	setNonEmpty(fields, "NAME", f.Name)
	setNonEmpty(fields, "NAMESPACE", f.Namespace)
	setNonEmpty(fields, "SERVICE_ACCOUNT", f.ServiceAccount)
	setNonEmpty(fields, "INSTANCE_IPS", strings.Join(f.IPs, ","))
	setNonEmpty(fields, "ISTIO_VERSION", f.Version)
	fields["CLUSTER_ID"] = f.ClusterID()
	fields["LABELS"] = without(f.Labels, "pod-template-hash")
	// The object as kubectl last applied it is kilobytes of text that nobody reads from here.
	fields["ANNOTATIONS"] = without(f.Annotations, "kubectl.kubernetes.io/last-applied-configuration")
	config, err := configObject(f)
	if err != nil {
		return nil, err
	}
	fields["PROXY_CONFIG"] = config
	return structpb.NewStruct(fields)
}

func configObject(f Facts) (any, error) {
	text, err := protojson.Marshal(f.Config)
	if err != nil {
		return nil, fmt.Errorf("write PROXY_CONFIG: %w", err)
	}
	var object any
	err = json.Unmarshal(text, &object)
	return object, err
}

func without(labels map[string]string, drop string) map[string]any {
	out := make(map[string]any, len(labels))
	for key, value := range labels {
		if key != drop {
			out[key] = value
		}
	}
	return out
}

func setNonEmpty(fields map[string]any, key, value string) {
	if value != "" {
		fields[key] = value
	}
}

// locality is what the pod's labels say, nil if they say nothing: the control plane knows the pod's node and fills it in.
func locality(labels map[string]string) *corev3.Locality {
	if all := labels["istio-locality"]; all != "" {
		// A label value cannot hold a slash, so Istio writes region.zone.subzone.
		parts := append(strings.SplitN(all, ".", 3), "", "")
		return &corev3.Locality{Region: parts[0], Zone: parts[1], SubZone: parts[2]}
	}
	l := &corev3.Locality{
		Region:  labels["topology.kubernetes.io/region"],
		Zone:    labels["topology.kubernetes.io/zone"],
		SubZone: labels["topology.istio.io/subzone"],
	}
	if l.Region == "" {
		return nil
	}
	return l
}
