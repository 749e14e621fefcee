package xds

import (
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
)

func TestWorldSendsWholeTypesWholeAndOthersInPart(t *testing.T) {
	t.Parallel()
	m := started(t)
	c := m.sotw("p")
	c.subscribe(typeCluster)
	c.ack(c.want(typeCluster, "a", "b"))
	c.subscribe(typeEndpoint, "a", "b")
	c.ack(c.want(typeEndpoint, "a", "b"), "a", "b")

	m.put(endpoints, content{"a": 1, "b": 2})
	c.ack(c.want(typeEndpoint, "b"), "a", "b")
	m.put(upstreams, content{"a": 2, "b": 1})
	c.ack(c.want(typeCluster, "a", "b"))
	c.ack(c.want(typeEndpoint, "a", "b"), "a", "b")
	m.put(upstreams, content{"a": 2})
	c.ack(c.want(typeCluster, "a"))
	c.ack(c.want(typeEndpoint, "a"), "a")
}

func TestWorldSaysEmptyForWhatIsNotThere(t *testing.T) {
	t.Parallel()
	m := started(t)
	c := m.sotw("p")
	c.subscribe(typeEndpoint, "a", "gone")
	r := c.want(typeEndpoint, "a", "gone")
	var cla endpointv3.ClusterLoadAssignment
	if err := proto.Unmarshal(r.GetResources()[1].GetValue(), &cla); err != nil || len(cla.GetEndpoints()) != 0 {
		t.Errorf("absent endpoints are %v, %v; want none", &cla, err)
	}
	c.ack(r, "a", "gone")
	c.subscribe(typeRoute, "80", "81")
	r = c.want(typeRoute, "80", "81")
	c.ack(r, "80", "81")
	m.put(endpoints, content{})
	r = c.want(typeEndpoint, "a")
	c.ack(r, "a", "gone")
}

func TestWorldAnswersNewNamesOnly(t *testing.T) {
	t.Parallel()
	c := started(t).sotw("p")
	c.subscribe(typeEndpoint, "a")
	r := c.want(typeEndpoint, "a")
	c.ack(r, "a")
	c.ack(r, "a", "b")
	r = c.want(typeEndpoint, "b")
	c.ack(r, "a", "b")
	c.ack(r, "a", "b")
	// A request without a nonce starts over, whatever version it names.
	c.send(&discoveryv3.DiscoveryRequest{TypeUrl: typeEndpoint, ResourceNames: []string{"a", "b"}, VersionInfo: "99"})
	c.want(typeEndpoint, "a", "b")
}

func TestWorldAnswersAfterReconnectWithNonceOfAnotherServer(t *testing.T) {
	t.Parallel()
	c := started(t).sotw("p")
	c.send(&discoveryv3.DiscoveryRequest{TypeUrl: typeCluster, ResponseNonce: "other", VersionInfo: "7"})
	c.want(typeCluster, "a", "b")
}

func TestWorldRefusalIsNotAnswered(t *testing.T) {
	t.Parallel()
	m := started(t)
	c := m.sotw("p")
	c.subscribe(typeEndpoint, "a", "b")
	r := c.want(typeEndpoint, "a", "b")
	c.send(&discoveryv3.DiscoveryRequest{
		TypeUrl: typeEndpoint, ResponseNonce: r.GetNonce(), ResourceNames: []string{"a", "b"},
		ErrorDetail: &rpcstatus.Status{Code: 3, Message: "no"},
	})
	c.subscribe(typeRoute, "80")
	c.ack(c.want(typeRoute, "80"), "80")
	if got := m.Proxies()[0].Types[0]; got.State() != Refused {
		t.Errorf("status is %+v, want refused", got)
	}
	m.put(endpoints, content{"a": 2, "b": 1})
	c.want(typeEndpoint, "a")
}

func TestWorldListenersByName(t *testing.T) {
	t.Parallel()
	m := started(t)
	m.put(listeners, content{"l": 1, "m": 1, "n": 1})
	c := m.sotw("p")
	c.subscribe(typeListener, "l", "m")
	c.ack(c.want(typeListener, "l", "m"), "l", "m")
	m.put(listeners, content{"l": 1, "m": 1, "n": 2}) // not asked for
	m.put(listeners, content{"l": 1, "m": 2, "n": 2})
	c.want(typeListener, "l", "m")
}
