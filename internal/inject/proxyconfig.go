package inject

import (
	"encoding/json"
	"fmt"
	"maps"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"
)

// proxyConfig is one proxy's effective ProxyConfig, as the JSON object that the agent gets and as the message.
// https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#ProxyConfig
type proxyConfig struct {
	fields  map[string]any
	message *meshconfig.ProxyConfig
}

// mergeProxyConfig lays the pod's own YAML over the mesh's default. A field of the pod replaces the mesh's, with an
// explicit zero too; proxyMetadata, runtimeValues and proxyHeaders are merged key by key. Unknown fields of the pod
// are an error: a misspelt field would otherwise do nothing without a word.
func mergeProxyConfig(mesh *meshconfig.ProxyConfig, own string) (proxyConfig, error) {
	base, err := protojson.Marshal(mesh)
	if err != nil {
		return proxyConfig{}, fmt.Errorf("write the mesh's defaultConfig: %w", err)
	}
	fields := map[string]any{}
	if err := json.Unmarshal(base, &fields); err != nil {
		return proxyConfig{}, fmt.Errorf("read the mesh's defaultConfig: %w", err)
	}
	overrides, err := ownProxyConfig(own)
	if err != nil {
		return proxyConfig{}, err
	}
	for key, value := range overrides {
		switch key {
		case "proxyMetadata", "runtimeValues", "proxyHeaders":
			fields[key] = merged(fields[key], value)
		default:
			fields[key] = value
		}
	}
	c := proxyConfig{fields: fields}
	err = c.refresh()
	return c, err
}

// ownProxyConfig is the pod's YAML with the spelling of its field names made uniform.
func ownProxyConfig(own string) (map[string]any, error) {
	var written map[string]any
	if err := yaml.Unmarshal([]byte(own), &written); err != nil {
		return nil, fmt.Errorf("not a YAML object: %w", err)
	}
	fields := map[string]any{}
	known := (&meshconfig.ProxyConfig{}).ProtoReflect().Descriptor().Fields()
	for key, value := range written {
		field := known.ByJSONName(key)
		if field == nil {
			field = known.ByName(protoreflect.Name(key))
		}
		if field == nil {
			return nil, fmt.Errorf("ProxyConfig has no field %q", key)
		}
		fields[field.JSONName()] = value
	}
	return fields, nil
}

func merged(base, over any) any {
	b, ok := base.(map[string]any)
	o, both := over.(map[string]any)
	if !ok || !both {
		return over
	}
	result := maps.Clone(b)
	maps.Copy(result, o)
	return result
}

// setDefault sets a field that neither the mesh nor the pod has said.
func (c *proxyConfig) setDefault(key string, value any) {
	if _, said := c.fields[key]; !said {
		c.fields[key] = value
	}
}

// setMetadataDefault is setDefault for one entry of proxyMetadata.
func (c *proxyConfig) setMetadataDefault(key, value string) {
	if _, said := c.message.GetProxyMetadata()[key]; !said {
		c.fields["proxyMetadata"] = merged(c.fields["proxyMetadata"], map[string]any{key: value})
	}
}

// refresh reads the message anew after fields have changed.
func (c *proxyConfig) refresh() error {
	b, err := json.Marshal(c.fields)
	if err != nil {
		return fmt.Errorf("write the proxy's configuration: %w", err)
	}
	c.message = &meshconfig.ProxyConfig{}
	if err := protojson.Unmarshal(b, c.message); err != nil {
		return fmt.Errorf("not a ProxyConfig: %w", err)
	}
	return nil
}

// json is the configuration for the agent, with its keys in order.
func (c *proxyConfig) json() string {
	return mustJSON(c.fields)
}

// mustJSON is for values that came from JSON or are plain structs, which always have a JSON form.
func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("inject: %T without JSON form: %v", v, err))
	}
	return string(b)
}
