// Package nds holds the name table: the names that a proxy's DNS server answers by itself, and their addresses.
// The control plane writes it, the agent reads it. It knows nothing of DNS or of streams.
//
// The wire form is Istio's message istio.networking.nds.v1.NameTable. No module publishes generated code
// for it, so the codec here is written by hand.
package nds

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// TypeURL names the table among xDS resources.
const TypeURL = "type.googleapis.com/istio.networking.nds.v1.NameTable"

// Registries that a name comes from. Only names of Kubernetes have short forms.
const (
	Kubernetes = "Kubernetes"
	External   = "External"
)

// Table maps a host name, without a trailing dot, to what is known of it.
type Table map[string]Info

// Info is what one name stands for. The fields are those of the wire form.
type Info struct {
	IPs       []string // addresses, IPv4 and IPv6 mixed
	Registry  string   // Kubernetes or External
	ShortName string   // first label of a Kubernetes service
	Namespace string   // namespace of a Kubernetes service
	AltHosts  []string // further names for the same addresses; deprecated in Istio, still read
}

// Field numbers of the wire form.
const (
	tableField protowire.Number = 1

	keyField   protowire.Number = 1
	valueField protowire.Number = 2

	ipsField       protowire.Number = 1
	registryField  protowire.Number = 2
	shortNameField protowire.Number = 3
	namespaceField protowire.Number = 4
	altHostsField  protowire.Number = 5
)

// Marshal encodes the table. Equal tables give equal bytes: names are in order.
func (t Table) Marshal() []byte {
	var out []byte
	for _, name := range slices.Sorted(maps.Keys(t)) {
		var entry []byte
		entry = appendString(entry, keyField, name)
		entry = protowire.AppendTag(entry, valueField, protowire.BytesType)
		entry = protowire.AppendBytes(entry, t[name].marshal())
		out = protowire.AppendTag(out, tableField, protowire.BytesType)
		out = protowire.AppendBytes(out, entry)
	}
	return out
}

func (i Info) marshal() []byte {
	var out []byte
	for _, ip := range i.IPs {
		out = appendString(out, ipsField, ip)
	}
	out = appendNonEmpty(out, registryField, i.Registry)
	out = appendNonEmpty(out, shortNameField, i.ShortName)
	out = appendNonEmpty(out, namespaceField, i.Namespace)
	for _, host := range i.AltHosts {
		out = appendString(out, altHostsField, host)
	}
	return out
}

func appendNonEmpty(out []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return out
	}
	return appendString(out, field, s)
}

func appendString(out []byte, field protowire.Number, s string) []byte {
	out = protowire.AppendTag(out, field, protowire.BytesType)
	return protowire.AppendString(out, s)
}

// Unmarshal decodes a table. Unknown fields are skipped, as protobuf wants it.
func Unmarshal(b []byte) (Table, error) {
	table := Table{}
	err := eachBytes(b, func(field protowire.Number, entry []byte) error {
		if field != tableField {
			return nil
		}
		name, info, err := unmarshalEntry(entry)
		if err != nil {
			return err
		}
		table[name] = info
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("decode name table: %w", err)
	}
	return table, nil
}

func unmarshalEntry(b []byte) (name string, info Info, err error) {
	err = eachBytes(b, func(field protowire.Number, v []byte) error {
		switch field {
		case keyField:
			name = string(v)
		case valueField:
			info, err = unmarshalInfo(v)
			return err
		}
		return nil
	})
	return name, info, err
}

func unmarshalInfo(b []byte) (Info, error) {
	var info Info
	err := eachBytes(b, func(field protowire.Number, v []byte) error {
		switch field {
		case ipsField:
			info.IPs = append(info.IPs, string(v))
		case registryField:
			info.Registry = string(v)
		case shortNameField:
			info.ShortName = string(v)
		case namespaceField:
			info.Namespace = string(v)
		case altHostsField:
			info.AltHosts = append(info.AltHosts, string(v))
		}
		return nil
	})
	return info, err
}

// eachBytes calls use for every length-delimited field of a message and skips the others.
func eachBytes(b []byte, use func(protowire.Number, []byte) error) error {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if kind != protowire.BytesType {
			n = protowire.ConsumeFieldValue(field, kind, b)
			if n < 0 {
				return protowire.ParseError(n)
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := use(field, v); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
