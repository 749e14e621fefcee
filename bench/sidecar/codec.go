package sidecar

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// rawCodec sends messages as usual and hands received ones over as bytes: decoding them would cost more than the control
// plane that is measured on the same machine spends on them.
type rawCodec struct{}

// received is a message as it came. Its buffer is freed by whoever read it.
type received struct{ buffer mem.Buffer }

// Name implements encoding.CodecV2.
func (rawCodec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", v)
	}
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*received)
	if !ok {
		return fmt.Errorf("%T takes no bytes", v)
	}
	r.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
	return nil
}
