// Package meshconfig reads MeshConfig, the key mesh of the ConfigMap istio, field by field: one that cannot be used costs nothing but
// itself, and what was good before it stays. The registry and the injector use it. It does not decide what a field means.
package meshconfig

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	meshv1 "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// Config is a MeshConfig as it was read. It does not change once read.
type Config struct {
	Message *meshv1.MeshConfig
}

// Read reads a version of MeshConfig (https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/). What cannot be read or
// is of no use is a problem: the last version's value stays in force, or the default when last is nil. Keys that are not
// known are left out with a problem.
func Read(text []byte, last *Config) (*Config, []model.Problem) {
	r := &Reader{Document: "mesh", Kept: last != nil}
	config := &Config{Message: &meshv1.MeshConfig{}}
	fields, ok := r.Fields(text)
	if !ok && last != nil {
		return last, r.Problems
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		part := &meshv1.MeshConfig{}
		if !r.field(name, fields[name], part) {
			part = last.only(name)
		}
		proto.Merge(config.Message, part)
	}
	r.checkFormat(config.Message, last)
	return config, r.Problems
}

// checkFormat puts the last format of the access log, or Envoy's own, in place of one that Envoy would refuse. What is good
// depends on the encoding, so they stay together.
func (r *Reader) checkFormat(config *meshv1.MeshConfig, last *Config) {
	wrong := wrongFormat(config)
	if wrong == "" {
		return
	}
	r.Problem("accessLogFormat: %s: %s", wrong, r.Instead())
	config.AccessLogFormat = ""
	if last != nil {
		config.AccessLogFormat, config.AccessLogEncoding = last.Message.GetAccessLogFormat(), last.Message.GetAccessLogEncoding()
	}
}

// only is a message with one field of the config, by its name in JSON or proto; empty if there is no such field.
func (c *Config) only(name string) *meshv1.MeshConfig {
	part := &meshv1.MeshConfig{}
	field := fieldNamed(name)
	if c == nil || field == nil || !c.Message.ProtoReflect().Has(field) {
		return part
	}
	part.ProtoReflect().Set(field, c.Message.ProtoReflect().Get(field))
	return part
}

func fieldNamed(name string) protoreflect.FieldDescriptor {
	fields := (&meshv1.MeshConfig{}).ProtoReflect().Descriptor().Fields()
	if f := fields.ByJSONName(name); f != nil {
		return f
	}
	return fields.ByTextName(name)
}

// Reader reads YAML in parts and collects what is wrong.
type Reader struct {
	Document string // key of the ConfigMap istio
	Kept     bool   // there is a last good version, whose values stand in for bad ones
	Problems []model.Problem
}

// Problem adds a problem.
func (r *Reader) Problem(format string, args ...any) {
	ref := model.Ref{Kind: "ConfigMap key", Name: r.Document}
	r.Problems = append(r.Problems, model.Problem{Object: ref, Text: fmt.Sprintf(format, args...)})
}

// Instead says what happens to something that cannot be used.
func (r *Reader) Instead() string {
	if r.Kept {
		return "the last good value stays"
	}
	return "it is left out"
}

// Fields splits YAML into its top-level fields. False says that nothing could be read.
func (r *Reader) Fields(text []byte) (map[string]json.RawMessage, bool) {
	var fields map[string]json.RawMessage
	if err := yaml.Unmarshal(text, &fields); err != nil {
		r.Problem("is no YAML with fields, so %s: correct it: %v", r.Instead(), err)
		return nil, false
	}
	return fields, true
}

// field reads one field of MeshConfig and checks its value.
func (r *Reader) field(name string, value json.RawMessage, into *meshv1.MeshConfig) bool {
	one, err := json.Marshal(map[string]json.RawMessage{name: value})
	if err != nil {
		r.Problem("%s: %s: %v", name, r.Instead(), err)
		return false
	}
	if !r.Message(name, one, into) {
		return false
	}
	if wrong := check(into); wrong != "" {
		r.Problem("%s: %s: %s", name, wrong, r.Instead())
		return false
	}
	return true
}

// Message reads JSON into a message. Keys that are not known are left out with a problem, and false says that nothing could
// be read.
func (r *Reader) Message(name string, text []byte, into proto.Message) bool {
	strict := protojson.Unmarshal(text, into)
	if strict == nil {
		return true
	}
	proto.Reset(into)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, into); err != nil {
		proto.Reset(into)
		r.Problem("%s cannot be read, so %s: correct it: %s", name, r.Instead(), plain(err))
		return false
	}
	r.Problem("%s: %s", name, plain(strict))
	return true
}

// plain takes off what protojson puts before its errors: the module's name, and a space that it varies on purpose.
func plain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return strings.TrimPrefix(strings.TrimPrefix(text, "proto: "), "(line 1:2): ")
}
