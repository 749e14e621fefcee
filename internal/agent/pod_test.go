package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmus-mesh/isthmus/internal/bootstrap"
	"github.com/isthmus-mesh/isthmus/internal/envoytest"
	"github.com/isthmus-mesh/isthmus/internal/nds"
	"github.com/isthmus-mesh/isthmus/internal/sds"
)

// pod is an agent with a real Envoy on loopback, towards a fake control plane.
type pod struct {
	o        Options
	plane    *fakeControlPlane
	tlsPort  int // of a listener that Envoy gets over ADS, with the pod's certificate from SDS
	dns      string
	logs     *syncBuffer
	stop     context.CancelFunc
	finished chan error
}

type syncBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// startPod runs an agent; env adds to its environment.
func startPod(t *testing.T, env ...string) *pod {
	t.Helper()
	ports := freePorts(t, 6)
	p := &pod{tlsPort: ports[0], logs: &syncBuffer{}, finished: make(chan error, 1)}
	p.plane = startControlPlane(t, map[string][]proto.Message{
		"type.googleapis.com/envoy.config.cluster.v3.Cluster":   {&clusterv3.Cluster{Name: "empty"}},
		"type.googleapis.com/envoy.config.listener.v3.Listener": {tlsListener(t, p.tlsPort)},
		nds.TypeURL: {&anypb.Any{TypeUrl: nds.TypeURL, Value: nds.Table{
			"helloworld.sample.svc.cluster.local": {IPs: []string{"10.1.0.1"}, Registry: nds.Kubernetes, ShortName: "helloworld", Namespace: "sample"},
		}.Marshal()}},
	})
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	p.o = Defaults(append([]string{
		"POD_NAME=curl-1", "POD_NAMESPACE=sample", "SERVICE_ACCOUNT=curl", "INSTANCE_IP=127.0.0.1",
		"ISTIO_META_CLUSTER_ID=cluster1", "ISTIO_META_DNS_CAPTURE=true", "CA_ADDR=" + p.plane.address,
		fmt.Sprintf(`PROXY_CONFIG={"discoveryAddress":%q,"terminationDrainDuration":"0.2s","concurrency":1}`, p.plane.address),
	}, env...))
	p.o.Envoy, p.o.ConfigDir, p.o.PodInfoDir = envoytest.Binary(t), dir, dir
	p.o.TokenFile, p.o.XDSRootFile = file("token", testToken), file("root.pem", string(p.plane.rootPEM()))
	p.o.CARootFile = p.o.XDSRootFile
	p.o.SDSSocket = filepath.Join(dir, "sds")
	p.o.ResolvConf = file("resolv.conf", "nameserver 127.0.0.1\nsearch sample.svc.cluster.local\n")
	p.dns = loopbackPort(ports[1])
	p.o.DNSAddresses = []string{p.dns}
	p.o.StatusAddress, p.o.Bind = loopbackPort(ports[2]), "127.0.0.1"
	p.o.AdminPort, p.o.ReadyPort, p.o.PrometheusPort = uint32(ports[3]), uint32(ports[4]), uint32(ports[5])
	p.o.EnvoyOutput = p.logs
	p.o.Log = slog.New(slog.NewTextHandler(p.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p.run(t)
	return p
}

func (p *pod) run(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	p.stop = stop
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.finished <- Run(ctx, p.o)
	}()
	t.Cleanup(func() {
		stop()
		<-done
		if t.Failed() {
			t.Logf("log of agent and Envoy:\n%s", p.logs)
		}
	})
}

func tlsListener(t *testing.T, port int) *listenerv3.Listener {
	t.Helper()
	sdsConfig := func(name string) *tlsv3.SdsSecretConfig {
		return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: &corev3.ConfigSource{
			ResourceApiVersion: corev3.ApiVersion_V3,
			ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
				ApiType: corev3.ApiConfigSource_GRPC, TransportApiVersion: corev3.ApiVersion_V3, SetNodeOnFirstMessageOnly: true,
				GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
					EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: bootstrap.UpstreamSDS},
				}}},
			}},
		}}
	}
	context := &tlsv3.DownstreamTlsContext{
		RequireClientCertificate: wrapperspb.Bool(false),
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{sdsConfig(sds.Workload)},
			ValidationContextType: &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{
				ValidationContextSdsSecretConfig: sdsConfig(sds.Root),
			},
		},
	}
	return &listenerv3.Listener{
		Name: "inbound",
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
		}}},
		FilterChains: []*listenerv3.FilterChain{{
			TransportSocket: &corev3.TransportSocket{
				Name: "envoy.transport_sockets.tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: wrap(t, context)},
			},
			Filters: []*listenerv3.Filter{{
				Name: "envoy.filters.network.tcp_proxy",
				ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: wrap(t, &tcpv3.TcpProxy{
					StatPrefix: "inbound", ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: bootstrap.UpstreamAgent},
				})},
			}},
		}},
	}
}

func wrap(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// freePorts asks the kernel; all sockets are open together, so that the ports differ.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func loopbackPort(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// eventually polls, as it waits for real processes.
func (p *pod) eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.After(60 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited a minute until %s: %v", what, err)
		case err := <-p.finished:
			p.finished <- err
			t.Fatalf("the agent ended before %s: %v", what, err)
		}
	}
}

func (p *pod) awaitReady(t *testing.T) {
	t.Helper()
	p.eventually(t, "the pod is ready", func() error {
		_, err := p.get(loopbackPort(int(p.o.ReadyPort)), "/healthz/ready")
		return err
	})
}

func (p *pod) get(address, path string) (string, error) { return p.do(http.MethodGet, address, path) }

func (p *pod) do(method, address, path string) (string, error) {
	req, err := http.NewRequest(method, "http://"+address+path, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		return string(body), fmt.Errorf("%s %s: %s: %s", method, path, res.Status, body)
	}
	return string(body), err
}
