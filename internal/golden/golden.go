// Package golden runs scenarios of translation: a .txtar file holds the Kubernetes and Istio objects of two or more
// clusters and one proxy, and the Envoy resources that it must get. Each is also taken by the real Envoy. Only tests
// use it.
package golden

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/nds"
	"github.com/isthmus-mesh/isthmus/internal/registry"
	"github.com/isthmus-mesh/isthmus/internal/translate"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// Scenario is a parsed file.
type Scenario struct {
	Snapshot *model.Snapshot
	Proxy    view.Proxy
	Want     map[string]string // what the file says, by type: cds, eds, lds, rds, nds, sds
}

// Types are the short names of the types in a scenario, with their URLs.
var Types = map[string]string{
	"cds": translate.ClusterType,
	"eds": translate.EndpointType,
	"lds": translate.ListenerType,
	"rds": translate.RouteType,
	"nds": translate.NamesType,
	"sds": translate.SecretType,
}

// proxyFile is the form of proxy.yaml.
type proxyFile struct {
	Kind          string            `json:"kind"` // sidecar or gateway
	Namespace     string            `json:"namespace"`
	Name          string            `json:"name"`
	Cluster       string            `json:"cluster"`
	Network       string            `json:"network"`
	Labels        map[string]string `json:"labels"`
	RequestedView string            `json:"requestedView"`
	Account       string            `json:"serviceAccount"`
}

// Parse reads a scenario.
func Parse(archive *txtar.Archive) (*Scenario, error) {
	s := &Scenario{Want: map[string]string{}}
	var clusters []*registry.Objects
	var meshYAML []byte
	var proxy proxyFile
	for _, f := range archive.Files {
		switch name, _ := strings.CutSuffix(f.Name, ".yaml"); {
		case strings.HasPrefix(f.Name, "want/"):
			s.Want[path.Base(name)] = string(f.Data)
		case name == "mesh":
			meshYAML = f.Data
		case name == "proxy":
			if err := yaml.UnmarshalStrict(f.Data, &proxy); err != nil {
				return nil, fmt.Errorf("proxy.yaml: %w", err)
			}
		default:
			objects, err := decode(f.Data)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
			clusters = append(clusters, registry.NewObjects(model.Cluster(name), objects...))
		}
	}
	if len(clusters) < 2 {
		return nil, errors.New("a scenario has at least two clusters")
	}
	mesh, problems := registry.MeshFrom(meshYAML, nil, registry.Own{Cluster: clusters[0].Cluster})
	if len(problems) > 0 {
		return nil, fmt.Errorf("mesh.yaml: %v", problems)
	}
	s.Snapshot = registry.Build(nil, clusters, mesh)
	s.Proxy = view.Proxy{
		Namespace: proxy.Namespace, Name: proxy.Name, Cluster: model.Cluster(proxy.Cluster),
		Network: model.Network(proxy.Network), Labels: proxy.Labels, RequestedView: proxy.RequestedView,
		ServiceAccount: proxy.Account,
	}
	if proxy.Kind == "gateway" {
		s.Proxy.Kind = view.Gateway
	}
	return s, nil
}

// decode reads the objects of one cluster.
func decode(data []byte) ([]registry.Object, error) {
	var objects []registry.Object
	reader := utilyaml.NewYAMLReader(newReader(data))
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(doc)) == 0 {
			continue
		}
		o, err := decodeOne(doc)
		if err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, doc)
		}
		objects = append(objects, o)
	}
}

func decodeOne(doc []byte) (registry.Object, error) {
	var meta metav1.TypeMeta
	if err := yaml.Unmarshal(doc, &meta); err != nil {
		return nil, err
	}
	switch meta.Kind {
	case "Namespace":
		return convert(doc, registry.NamespaceFrom)
	case "Node":
		return convert(doc, registry.NodeFrom)
	case "Service":
		return convert(doc, registry.ServiceFrom)
	case "Pod":
		return convert(doc, registry.PodFrom)
	case "EndpointSlice":
		return convert(doc, registry.SliceFrom)
	case "Gateway":
		return convert(doc, func(g *networking.Gateway) *registry.Gateway { return registry.GatewayFrom(&g.ObjectMeta, &g.Spec) })
	case "Secret":
		return decodeSecret(doc)
	default:
		return nil, fmt.Errorf("kind %q is not known to scenarios", meta.Kind)
	}
}

func convert[K, T any](doc []byte, from func(*K) T) (registry.Object, error) {
	var object K
	if err := yaml.Unmarshal(doc, &object); err != nil {
		return nil, err
	}
	return any(from(&object)).(registry.Object), nil
}

// Resources translates the scenario for its proxy: the messages of each type, by short name, ordered by name.
func (s *Scenario) Resources() (map[string][]proto.Message, error) {
	out := map[string][]proto.Message{}
	for short, typeURL := range Types {
		if short == "nds" {
			continue
		}
		for _, c := range (translate.Generator{}).Classes(s.Snapshot, s.Proxy, typeURL) {
			for _, r := range (translate.Generator{}).Build(s.Snapshot, c, nil).All() {
				packed := &anypb.Any{}
				if err := proto.Unmarshal(r.Any, packed); err != nil {
					return nil, fmt.Errorf("%s: %w", r.Name, err)
				}
				m, err := packed.UnmarshalNew()
				if err != nil {
					return nil, fmt.Errorf("%s: %w", r.Name, err)
				}
				out[short] = append(out[short], m)
			}
		}
	}
	return out, nil
}

// Names gives the name table of the scenario's proxy.
func (s *Scenario) Names() (nds.Table, error) {
	var all []*translate.Resource
	for _, c := range (translate.Generator{}).Classes(s.Snapshot, s.Proxy, translate.NamesType) {
		all = append(all, (translate.Generator{}).Build(s.Snapshot, c, nil).All()...)
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("the proxy gets %d name tables, want one", len(all))
	}
	packed := &anypb.Any{}
	if err := proto.Unmarshal(all[0].Any, packed); err != nil {
		return nil, err
	}
	return nds.Unmarshal(packed.Value)
}

// YAML writes messages as YAML documents in the order of their names.
func YAML(messages []proto.Message) (string, error) {
	var docs []string
	for _, m := range messages {
		text, err := protojson.Marshal(m)
		if err != nil {
			return "", err
		}
		doc, err := yaml.JSONToYAML(text)
		if err != nil {
			return "", err
		}
		docs = append(docs, string(doc))
	}
	slices.Sort(docs)
	return strings.Join(docs, "---\n"), nil
}
