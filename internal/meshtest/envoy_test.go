package meshtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/isthmus-mesh/isthmus/bench/synthetic"
	"github.com/isthmus-mesh/isthmus/internal/bootstrap"
	"github.com/isthmus-mesh/isthmus/internal/certs"
	"github.com/isthmus-mesh/isthmus/internal/envoytest"
	"github.com/isthmus-mesh/isthmus/internal/sds"
	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// startEnvoy runs the real Envoy as the sidecar of the first pod, with the agent's bootstrap and secrets, and waits until
// it is live: until then it waits for something that discovery has to send.
func (m *realMesh) startEnvoy(t *testing.T) *envoytest.Envoy {
	t.Helper()
	pod := sizes.ProxyPod(0)
	facts, err := bootstrap.ParseFacts(bootstrap.Sidecar, []string{
		"POD_NAME=" + pod.Name, "POD_NAMESPACE=" + pod.Service.Namespace, "SERVICE_ACCOUNT=" + pod.Service.Name,
		"INSTANCE_IP=" + pod.Address.String(), "ISTIO_META_CLUSTER_ID=cluster1",
	}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	b, err := bootstrap.Build(facts, bootstrap.Layout{
		XDSSocket: "/unused", SDSSocket: serveSecrets(t, pod), Bind: "127.0.0.1",
		AdminPort: port(t), StatusPort: port(t), ReadyPort: port(t), PrometheusPort: port(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := askDirectly(b, m.xds); err != nil {
		t.Fatal(err)
	}
	e := envoytest.Start(t, b)
	e.AwaitLive(t)
	return e
}

func port(t *testing.T) uint32 {
	t.Helper()
	return uint32(netip.MustParseAddrPort(freeAddress(t)).Port())
}

// askDirectly sends Envoy's questions to the control plane without the agent's relay between them.
func askDirectly(b *bootstrapv3.Bootstrap, address string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	for _, c := range b.GetStaticResources().GetClusters() {
		if c.GetName() == bootstrap.UpstreamXDS {
			c.GetLoadAssignment().GetEndpoints()[0].GetLbEndpoints()[0].GetEndpoint().Address = &corev3.Address{
				Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
					Address: to.Addr().String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(to.Port())},
				}},
			}
			return nil
		}
	}
	return errors.New("the bootstrap has no upstream for discovery")
}

// serveSecrets serves a certificate for a pod as its agent would, and gives the socket.
func serveSecrets(t *testing.T, pod synthetic.Pod) string {
	t.Helper()
	now := time.Now()
	root, err := certs.NewRoot(certs.Template{KeySize: certs.P256, Now: now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	id := trust.WorkloadID(trust.MustDomain("cluster.local"), pod.Service.Namespace, pod.Service.Name)
	keeper := sds.NewKeeper(sds.Options{
		Identity: id.String(),
		Sign: func(_ context.Context, csr []byte, lifetime time.Duration) ([]string, error) {
			cert, err := root.Sign(certs.Request{CSR: csr, ID: id, TTL: lifetime, Now: now, Random: rand.Reader})
			if err != nil {
				return nil, err
			}
			return []string{string(trust.EncodeCertificate(cert.Raw)), string(root.Roots().PEM())}, nil
		},
	})
	dir, err := os.MkdirTemp("", "sds") // t.TempDir is too long for the name of a socket
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	kept, served := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(kept)
		keeper.Run(ctx)
	}()
	go func() { served <- sds.NewServer(keeper).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		<-kept
		if err := <-served; err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	return l.Addr().String()
}

// endpointsInEnvoy lists the addresses that Envoy has behind a service.
func endpointsInEnvoy(t *testing.T, e *envoytest.Envoy, service synthetic.Service) ([]string, error) {
	t.Helper()
	var page struct {
		Upstreams []struct {
			Name  string `json:"name"`
			Hosts []struct {
				Address struct {
					Socket struct {
						Address string `json:"address"`
					} `json:"socket_address"`
				} `json:"address"`
			} `json:"host_statuses"`
		} `json:"cluster_statuses"`
	}
	if err := json.Unmarshal([]byte(e.Get(t, "/clusters?format=json")), &page); err != nil {
		return nil, err
	}
	for _, u := range page.Upstreams {
		if u.Name != service.Upstream() {
			continue
		}
		var addresses []string
		for _, h := range u.Hosts {
			addresses = append(addresses, h.Address.Socket.Address)
		}
		return addresses, nil
	}
	return nil, fmt.Errorf("no upstream %s in Envoy", service.Upstream())
}

// wantNothingRefused fails the test if Envoy ever refused something, or got nothing of a type.
func wantNothingRefused(t *testing.T, e *envoytest.Envoy) {
	t.Helper()
	for _, refused := range refusals(e.Get(t, "/stats?filter=update_rejected|update_success|listener_create_failure")) {
		t.Error(refused)
	}
	if strings.Contains(e.Get(t, "/config_dump"), "error_state") {
		t.Error("Envoy holds an error of configuration that it refused: see /config_dump")
	}
}

// refusals reads statistics, a line each, and says what is wrong in them.
func refusals(stats string) (wrong []string) {
	successes := map[string]bool{}
	for line := range strings.Lines(stats) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case strings.HasSuffix(name, ".update_success"):
			if value != "0" {
				kind := name[:strings.LastIndexByte(name, '.')]
				successes[kind[strings.LastIndexByte(kind, '.')+1:]] = true
			}
		case value != "0":
			wrong = append(wrong, "Envoy refused something: "+name+" is "+value)
		}
	}
	for _, kind := range []string{"cds", "lds"} {
		if !successes[kind] {
			wrong = append(wrong, "Envoy took no "+kind)
		}
	}
	return wrong
}

// The check of refusals must be able to fail.
func TestRefusalsAreFound(t *testing.T) {
	t.Parallel()
	good := "cluster_manager.cds.update_success: 3\nlistener_manager.lds.update_success: 1\ncluster_manager.cds.update_rejected: 0\n"
	if wrong := refusals(good); len(wrong) > 0 {
		t.Errorf("good statistics are wrong: %v", wrong)
	}
	for _, bad := range []string{"", good + "listener_manager.lds.update_rejected: 1\n", strings.ReplaceAll(good, "lds.update_success: 1", "lds.update_success: 0")} {
		if len(refusals(bad)) == 0 {
			t.Errorf("nothing is wrong in %q", bad)
		}
	}
}
