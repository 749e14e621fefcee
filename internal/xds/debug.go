package xds

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/isthmus-mesh/isthmus/internal/translate"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// syncz is one proxy in the JSON of /debug/syncz, whose field names dashboards read.
type syncz struct {
	Cluster       string                `json:"cluster_id,omitempty"`
	Proxy         string                `json:"proxy"`
	ProxyType     string                `json:"proxy_type"`
	Version       string                `json:"istio_version,omitempty"`
	ClusterSent   string                `json:"cluster_sent,omitempty"`
	ClusterAcked  string                `json:"cluster_acked,omitempty"`
	ListenerSent  string                `json:"listener_sent,omitempty"`
	ListenerAcked string                `json:"listener_acked,omitempty"`
	RouteSent     string                `json:"route_sent,omitempty"`
	RouteAcked    string                `json:"route_acked,omitempty"`
	EndpointSent  string                `json:"endpoint_sent,omitempty"`
	EndpointAcked string                `json:"endpoint_acked,omitempty"`
	ExtSent       string                `json:"extensionconfig_sent,omitempty"`
	ExtAcked      string                `json:"extensionconfig_acked,omitempty"`
	Resources     map[string]syncedType `json:"resources"`
}

type syncedType struct {
	Sent     string     `json:"sent,omitempty"`
	Acked    string     `json:"acked,omitempty"`
	SentTime *time.Time `json:"sentTime,omitempty"`
	LastErr  string     `json:"lastError,omitempty"`
}

func (c *conn) kind() string {
	if c.proxy.Kind == view.Gateway {
		return "router"
	}
	return "sidecar"
}

func newSyncz(p ProxyStatus) syncz {
	s := syncz{
		Cluster: p.Cluster, Proxy: p.Name, ProxyType: p.Kind, Version: p.Version,
		Resources: map[string]syncedType{},
	}
	for _, t := range p.Types {
		st := syncedType{Sent: t.Sent, Acked: t.Acked, LastErr: t.Error}
		if !t.SentAt.IsZero() {
			st.SentTime = &t.SentAt
		}
		s.Resources[t.TypeURL] = st
		switch t.TypeURL {
		case typeCluster:
			s.ClusterSent, s.ClusterAcked = t.Sent, t.Acked
		case typeListener:
			s.ListenerSent, s.ListenerAcked = t.Sent, t.Acked
		case typeRoute:
			s.RouteSent, s.RouteAcked = t.Sent, t.Acked
		case typeEndpoint:
			s.EndpointSent, s.EndpointAcked = t.Sent, t.Acked
		case typeECDS:
			s.ExtSent, s.ExtAcked = t.Sent, t.Acked
		}
	}
	return s
}

// RegisterDebug adds the handlers /debug/syncz, /debug/connections and /debug/config_dump. Who may call them is for the
// mux's owner to decide.
func (s *Server) RegisterDebug(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/syncz", s.serveSyncz)
	mux.HandleFunc("GET /debug/connections", s.serveConnections)
	mux.HandleFunc("GET /debug/config_dump", s.serveConfigDump)
}

func (s *Server) serveSyncz(w http.ResponseWriter, r *http.Request) {
	all := []syncz{}
	for _, p := range s.Proxies() {
		all = append(all, newSyncz(p))
	}
	writeJSON(w, r, all)
}

// connection is one stream in the JSON of /debug/connections.
type connection struct {
	ID          uint64    `json:"connectionId"`
	Proxy       string    `json:"proxy"`
	ConnectedAt time.Time `json:"connectedAt"`
	Address     string    `json:"address"`
	Protocol    string    `json:"protocol"`
	Version     string    `json:"version,omitempty"`
}

func (s *Server) serveConnections(w http.ResponseWriter, r *http.Request) {
	all := []connection{}
	for _, p := range s.Proxies() {
		all = append(all, connection{p.Connection, p.Name, p.ConnectedAt, p.Address, p.Protocol, p.Version})
	}
	writeJSON(w, r, map[string]any{"totalClients": len(all), "clients": all})
}

func writeJSON(w http.ResponseWriter, r *http.Request, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	if r.URL.Query().Has("pretty") {
		e.SetIndent("", "  ")
	}
	_ = e.Encode(v) // the caller has gone
}

func (s *Server) serveConfigDump(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("proxyID")
	if id == "" {
		http.Error(w, "give the proxy as ?proxyID=POD.NAMESPACE", http.StatusBadRequest)
		return
	}
	dump := s.configDump(id, r.URL.Query().Has("include_eds"))
	if dump == nil {
		// istioctl reads this text as: ask another instance.
		http.Error(w, "Proxy not connected to this Pilot instance. It may be connected to another instance.", http.StatusNotFound)
		return
	}
	opts := protojson.MarshalOptions{}
	if r.URL.Query().Has("pretty") {
		opts.Multiline = true
	}
	body, err := opts.Marshal(dump)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the caller has gone
}

// configDump is what was sent to the newest stream of a proxy, in the form of Envoy's own dump. It is nil when the
// proxy has no stream here.
func (s *Server) configDump(name string, endpoints bool) *adminv3.ConfigDump {
	var newest *conn
	for _, c := range s.connections() {
		if c.name() == name && (newest == nil || c.id > newest.id) && len(c.status().Types) > 0 {
			newest = c
		}
	}
	if newest == nil {
		return nil
	}
	newest.mu.Lock()
	held := map[string][]*translate.Resource{}
	sentAt := map[string]time.Time{}
	for _, w := range newest.watches {
		held[w.typeURL], sentAt[w.typeURL] = w.holding(), w.sentAt
	}
	newest.mu.Unlock()

	dump := &adminv3.ConfigDump{}
	add := func(m proto.Message) {
		if packed, err := anypb.New(m); err == nil {
			dump.Configs = append(dump.Configs, packed)
		}
	}
	stamp := func(typeURL string) *timestamppb.Timestamp { return timestamppb.New(sentAt[typeURL]) }
	add(&adminv3.BootstrapConfigDump{})
	add(clustersDump(held[typeCluster], stamp(typeCluster)))
	if endpoints {
		add(endpointsDump(held[typeEndpoint], stamp(typeEndpoint)))
	}
	add(listenersDump(held[typeListener], stamp(typeListener)))
	add(&adminv3.ScopedRoutesConfigDump{})
	add(routesDump(held[typeRoute], stamp(typeRoute)))
	if secrets := held[typeSecret]; len(secrets) > 0 {
		add(secretsDump(secrets, stamp(typeSecret)))
	}
	return dump
}

func unpack(r *translate.Resource) *anypb.Any {
	var a anypb.Any
	if err := proto.Unmarshal(r.Any, &a); err != nil {
		return &anypb.Any{TypeUrl: strings.Clone(err.Error())} // seen in the dump rather than lost
	}
	return &a
}

func clustersDump(rs []*translate.Resource, at *timestamppb.Timestamp) *adminv3.ClustersConfigDump {
	d := &adminv3.ClustersConfigDump{}
	for _, r := range rs {
		d.DynamicActiveClusters = append(d.DynamicActiveClusters, &adminv3.ClustersConfigDump_DynamicCluster{
			VersionInfo: r.Version, Cluster: unpack(r), LastUpdated: at,
		})
	}
	return d
}

func endpointsDump(rs []*translate.Resource, at *timestamppb.Timestamp) *adminv3.EndpointsConfigDump {
	d := &adminv3.EndpointsConfigDump{}
	for _, r := range rs {
		d.DynamicEndpointConfigs = append(d.DynamicEndpointConfigs, &adminv3.EndpointsConfigDump_DynamicEndpointConfig{
			VersionInfo: r.Version, EndpointConfig: unpack(r), LastUpdated: at,
		})
	}
	return d
}

func listenersDump(rs []*translate.Resource, at *timestamppb.Timestamp) *adminv3.ListenersConfigDump {
	d := &adminv3.ListenersConfigDump{}
	for _, r := range rs {
		d.DynamicListeners = append(d.DynamicListeners, &adminv3.ListenersConfigDump_DynamicListener{
			Name: r.Name,
			ActiveState: &adminv3.ListenersConfigDump_DynamicListenerState{
				VersionInfo: r.Version, Listener: unpack(r), LastUpdated: at,
			},
		})
	}
	return d
}

func routesDump(rs []*translate.Resource, at *timestamppb.Timestamp) *adminv3.RoutesConfigDump {
	d := &adminv3.RoutesConfigDump{}
	for _, r := range rs {
		d.DynamicRouteConfigs = append(d.DynamicRouteConfigs, &adminv3.RoutesConfigDump_DynamicRouteConfig{
			VersionInfo: r.Version, RouteConfig: unpack(r), LastUpdated: at,
		})
	}
	return d
}
