package relay

import (
	"fmt"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// dialect is what the relay must know of delta or state-of-the-world xDS to speak for itself.
type dialect interface {
	// typeURL reads the type of a response without reading its resources.
	typeURL(response []byte) string
	// subscribe is a request for all resources of a type.
	subscribe(typeURL string) []byte
	// first is the first resource of a response, nil if it has none, and how to answer the response: with nil to accept it.
	first(response []byte) (resource []byte, answer func(error) []byte, err error)
}

// delta is the dialect that the relay's Envoy is told to speak.
type delta struct{}

func (delta) typeURL(response []byte) string { return stringField(response, 4) }

func (delta) subscribe(typeURL string) []byte {
	return encode(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL})
}

func (delta) first(response []byte) ([]byte, func(error) []byte, error) {
	res := &discoveryv3.DeltaDiscoveryResponse{}
	err := proto.Unmarshal(response, res)
	answer := func(err error) []byte {
		return encode(&discoveryv3.DeltaDiscoveryRequest{
			TypeUrl: res.GetTypeUrl(), ResponseNonce: res.GetNonce(), ErrorDetail: detail(err),
		})
	}
	if err != nil {
		return nil, answer, fmt.Errorf("decode response: %w", err)
	}
	if len(res.GetResources()) == 0 {
		return nil, answer, nil
	}
	return res.GetResources()[0].GetResource().GetValue(), answer, nil
}

// stateOfTheWorld is the older dialect, for an Envoy whose bootstrap someone else wrote.
type stateOfTheWorld struct{}

func (stateOfTheWorld) typeURL(response []byte) string { return stringField(response, 4) }

func (stateOfTheWorld) subscribe(typeURL string) []byte {
	return encode(&discoveryv3.DiscoveryRequest{TypeUrl: typeURL})
}

func (stateOfTheWorld) first(response []byte) ([]byte, func(error) []byte, error) {
	res := &discoveryv3.DiscoveryResponse{}
	err := proto.Unmarshal(response, res)
	answer := func(err error) []byte {
		req := &discoveryv3.DiscoveryRequest{TypeUrl: res.GetTypeUrl(), ResponseNonce: res.GetNonce(), ErrorDetail: detail(err)}
		if err == nil {
			req.VersionInfo = res.GetVersionInfo()
		}
		return encode(req)
	}
	if err != nil {
		return nil, answer, fmt.Errorf("decode response: %w", err)
	}
	if len(res.GetResources()) == 0 {
		return nil, answer, nil
	}
	return res.GetResources()[0].GetValue(), answer, nil
}

func detail(err error) *rpcstatus.Status {
	if err == nil {
		return nil
	}
	return &rpcstatus.Status{Code: int32(codes.InvalidArgument), Message: err.Error()}
}

// encode writes a request that is made here; such a message always encodes.
func encode(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// stringField finds a string field of a message by its number, skipping over all others; "" if there is none. Both response
// messages have the type in field 4.
func stringField(b []byte, want protowire.Number) string {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return ""
		}
		b = b[n:]
		if field == want && kind == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(b)
			return string(v)
		}
		if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
			return ""
		}
		b = b[n:]
	}
	return ""
}
