package relay

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// frame is one gRPC message as it was on the wire.
type frame struct{ data []byte }

// codec hands messages through as bytes. Its name keeps the content type that ordinary peers use.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return nil, fmt.Errorf("relay sends frames, not %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(f.data)}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("relay receives frames, not %T", v)
	}
	f.data = data.Materialize()
	return nil
}
