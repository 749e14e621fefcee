package xds

import (
	"encoding/json"
	"runtime"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Instance names a control plane to the callers of its debug types.
type Instance struct {
	ID       string // its pod
	Version  string
	Revision string // of the source
	Status   string // of the source tree when it was built
	Tag      string
}

// identifier is the JSON that istioctl reads from control_plane.identifier.
func (i Instance) identifier() string {
	type info struct {
		Version   string `json:"version"`
		Revision  string `json:"revision"`
		GoVersion string `json:"golang_version"`
		Status    string `json:"status"`
		Tag       string `json:"tag"`
	}
	text, err := json.Marshal(struct {
		Component string
		ID        string
		Info      info
	}{"istiod", i.ID, info{i.Version, i.Revision, runtime.Version(), i.Status, i.Tag}})
	if err != nil {
		panic(err) // a struct of strings always has a JSON form
	}
	return string(text)
}

// debug answers a request of the types istio.io/debug/…, which istioctl sends by the state-of-the-world protocol. Only
// callers from the system namespace may ask, for the answer tells of all proxies.
func (c *conn) debug(r *request) error {
	s := c.server
	if s.opts.Authenticate != nil && c.caller != s.opts.SystemNamespace {
		return status.Errorf(codes.PermissionDenied, "%s is for callers from namespace %s only", r.typeURL, s.opts.SystemNamespace)
	}
	if c.incremental {
		return status.Errorf(codes.InvalidArgument, "%s is served by the state-of-the-world protocol only", r.typeURL)
	}
	if r.nonce != "" {
		return nil // an acknowledgement
	}
	resp := &discoveryv3.DiscoveryResponse{
		TypeUrl: r.typeURL, Nonce: c.nextNonce("debug"),
		ControlPlane: &corev3.ControlPlane{Identifier: s.opts.Instance.identifier()},
	}
	switch r.typeURL {
	case debugPrefix + "/syncz":
		for _, p := range s.Proxies() {
			if packed, err := anypb.New(clientConfig(p)); err == nil {
				resp.Resources = append(resp.Resources, packed)
			}
		}
	case debugPrefix + "/config_dump":
		for _, name := range r.subscribe {
			dump := s.configDump(name, false)
			if dump == nil {
				return status.Errorf(codes.NotFound, "Proxy %s is not connected to this Pilot instance", name)
			}
			if packed, err := anypb.New(dump); err == nil {
				resp.Resources = append(resp.Resources, packed)
			}
		}
	default:
		return status.Errorf(codes.Unimplemented, "%s is not served", r.typeURL)
	}
	return c.wire.SendMsg(resp)
}

// clientConfig is one proxy as istioctl proxy-status reads it.
func clientConfig(p ProxyStatus) *statusv3.ClientConfig {
	text := structpb.NewStringValue
	cfg := &statusv3.ClientConfig{Node: &corev3.Node{
		Id: p.Name,
		Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			"CLUSTER_ID": text(p.Cluster), "NAMESPACE": text(p.Namespace), "ISTIO_VERSION": text(p.Version),
		}},
	}}
	for _, t := range p.Types {
		g := &statusv3.ClientConfig_GenericXdsConfig{TypeUrl: t.TypeURL, ConfigStatus: configStatus(t.State())}
		if !t.SentAt.IsZero() {
			g.LastUpdated = timestamppb.New(t.SentAt)
		}
		if t.Error != "" {
			g.ErrorState = &adminv3.UpdateFailureState{Details: t.Error}
		}
		cfg.GenericXdsConfigs = append(cfg.GenericXdsConfigs, g)
	}
	return cfg
}

func configStatus(s State) statusv3.ConfigStatus {
	switch s {
	case Synced:
		return statusv3.ConfigStatus_SYNCED
	case NotSent:
		return statusv3.ConfigStatus_NOT_SENT
	case Stale:
		return statusv3.ConfigStatus_STALE
	case Refused:
		return statusv3.ConfigStatus_ERROR
	default:
		return statusv3.ConfigStatus_UNKNOWN
	}
}
