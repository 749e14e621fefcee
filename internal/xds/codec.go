package xds

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that carries all but our responses
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/isthmus-mesh/isthmus/internal/translate"
)

// frames is a response that is encoded already: shared bytes of resources and a tail of the stream's own. gRPC keeps
// references to the bytes after SendMsg has returned, so nobody may change them, ever.
type frames struct {
	parts mem.BufferSlice // used for one SendMsg only
}

// codec sends frames as they are, and everything else as protobuf.
type codec struct{ proto encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// Name keeps the content type application/grpc+proto.
func (codec) Name() string { return "proto" }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frames); ok {
		return f.parts, nil
	}
	data, err := c.proto.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("marshal %T: %w", v, err)
	}
	return data, nil
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error { return c.proto.Unmarshal(data, v) }

// Field numbers of DeltaDiscoveryResponse and DiscoveryResponse, which agree where both have a field
// (https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/discovery/v3/discovery.proto).
const (
	fieldVersion   = 1
	fieldResources = 2
	fieldTypeURL   = 4
	fieldNonce     = 5
	fieldRemoved   = 6
)

// tail encodes what a response holds beside its resources. Removed is empty in the state-of-the-world protocol.
func tail(typeURL, version, nonce string, removed []string) []byte {
	size := len(typeURL) + len(version) + len(nonce) + 16
	for _, name := range removed {
		size += len(name) + 4
	}
	b := make([]byte, 0, size)
	text := func(n protowire.Number, s string) {
		b = protowire.AppendTag(b, n, protowire.BytesType)
		b = protowire.AppendString(b, s)
	}
	text(fieldVersion, version)
	text(fieldTypeURL, typeURL)
	text(fieldNonce, nonce)
	for _, name := range removed {
		text(fieldRemoved, name)
	}
	return b
}

// appendDelta appends one resource as a delta response holds it.
func appendDelta(b []byte, r *translate.Resource) []byte { return append(b, r.Delta...) }

// appendWorld appends one resource as a state-of-the-world response holds it.
func appendWorld(b []byte, r *translate.Resource) []byte {
	b = protowire.AppendTag(b, fieldResources, protowire.BytesType)
	return protowire.AppendBytes(b, r.Any)
}

// deltaFrame is one shared resource, without a copy.
func deltaFrame(parts mem.BufferSlice, r *translate.Resource) mem.BufferSlice {
	return append(parts, mem.SliceBuffer(r.Delta))
}

// worldFrame is one shared resource behind a few bytes of its own.
func worldFrame(parts mem.BufferSlice, r *translate.Resource) mem.BufferSlice {
	head := protowire.AppendTag(make([]byte, 0, 6), fieldResources, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(r.Any)))
	return append(parts, mem.SliceBuffer(head), mem.SliceBuffer(r.Any))
}

// join concatenates resources into one block.
func join(resources []*translate.Resource, appendOne func([]byte, *translate.Resource) []byte) mem.Buffer {
	size := 0
	for _, r := range resources {
		size += len(r.Delta) // never shorter than the other form
	}
	block := make([]byte, 0, size)
	for _, r := range resources {
		block = appendOne(block, r)
	}
	return mem.SliceBuffer(block)
}
