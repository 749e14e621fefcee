// Package envoy has constructors of Envoy messages, named for what they return. They decide nothing about the mesh:
// what is in a message follows from the arguments.
package envoy

import (
	"fmt"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Any packs a message. The bytes are the same for equal messages.
func Any(m proto.Message) *anypb.Any {
	a := &anypb.Any{}
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic(fmt.Sprintf("envoy: pack %T: %v", m, err))
	}
	return a
}

// ADS is the configuration source of everything that comes over the aggregated stream. Envoy's default initial fetch
// timeout of 15 s is kept: 0 would let one unanswered name hold up a proxy for ever.
func ADS() *core.ConfigSource {
	return &core.ConfigSource{
		ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
		ResourceApiVersion:    core.ApiVersion_V3,
	}
}

// SocketAddress is a TCP address. Port 0 lets the kernel choose.
func SocketAddress(host string, port uint16) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address:       host,
		PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

func duration(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

func uint32Value(v uint32) *wrapperspb.UInt32Value { return wrapperspb.UInt32(v) }

func boolValue(v bool) *wrapperspb.BoolValue { return wrapperspb.Bool(v) }
