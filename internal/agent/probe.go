package agent

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// prober makes the kubelet's probes of the application in the kubelet's place. The kubelet itself has no certificate, so its
// probes would be refused where mutual TLS is required; the injector points them here.
type prober struct {
	probes map[string]probe
	podIP  string
}

// probe is one original probe or lifecycle hook: one of the three actions.
type probe struct {
	HTTPGet *struct {
		Path    string `json:"path"`
		Port    port   `json:"port"`
		Scheme  string `json:"scheme"`
		Headers []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"httpHeaders"`
	} `json:"httpGet"`
	TCPSocket *struct {
		Port port `json:"port"`
	} `json:"tcpSocket"`
	GRPC *struct {
		Port    port    `json:"port"`
		Service *string `json:"service"`
	} `json:"grpc"`
	TimeoutSeconds int `json:"timeoutSeconds"`
}

// port is a number, also when JSON has it as text. The injector has resolved named ports.
type port uint16

// UnmarshalJSON reads 80 and "80".
func (p *port) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseUint(strings.Trim(string(b), `"`), 10, 16)
	if err != nil {
		return fmt.Errorf("port %s: %w", b, err)
	}
	*p = port(n)
	return nil
}

const (
	// maxRedirects is the kubelet's.
	maxRedirects = 10
	// maxProbeBody is how much of an answer is read.
	maxProbeBody = 10 << 10
)

// probeSource is where probes come from: the capture rules let it through to the application.
var probeSource = map[bool]net.IP{true: net.ParseIP("127.0.0.6"), false: net.ParseIP("::6")}

// newProber reads what the injector wrote. The prober works in case of an error, too: it knows no probe then.
func newProber(text string, podIPs []string) (*prober, error) {
	p := &prober{podIP: "127.0.0.1"}
	if len(podIPs) > 0 {
		p.podIP = podIPs[0]
	}
	if text == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(text), &p.probes); err != nil {
		return p, fmt.Errorf("read ISTIO_KUBE_APP_PROBERS: %w", err)
	}
	return p, nil
}

func (p *prober) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what, ok := p.probes[r.URL.Path]
	if !ok {
		http.Error(w, "no probe of that path", http.StatusNotFound)
		return
	}
	timeout := max(time.Duration(what.TimeoutSeconds)*time.Second, time.Second)
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	switch {
	case what.HTTPGet != nil:
		p.get(ctx, w, r, what)
	case what.TCPSocket != nil:
		report(w, p.connect(ctx, what.TCPSocket.Port))
	case what.GRPC != nil:
		report(w, p.health(ctx, what))
	default:
		http.Error(w, "the probe has no action", http.StatusInternalServerError)
	}
}

func report(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// get passes the application's answer on: code and the start of the body.
func (p *prober) get(ctx context.Context, w http.ResponseWriter, r *http.Request, what probe) {
	scheme := strings.ToLower(what.HTTPGet.Scheme)
	if scheme == "" {
		scheme = "http"
	}
	url := fmt.Sprintf("%s://%s/%s", scheme, p.address(what.HTTPGet.Port), strings.TrimPrefix(what.HTTPGet.Path, "/"))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		report(w, err)
		return
	}
	req.Header.Set("User-Agent", r.UserAgent())
	for _, h := range what.HTTPGet.Headers {
		if strings.EqualFold(h.Name, "host") {
			req.Host = h.Value
			continue
		}
		req.Header.Add(h.Name, h.Value)
	}
	res, err := p.client().Do(req)
	if err != nil {
		report(w, err)
		return
	}
	defer res.Body.Close()
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, io.LimitReader(res.Body, maxProbeBody)) // the code is what counts
}

// client does as the kubelet: no certificate is checked, a redirect to another host counts as success.
func (p *prober) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:       p.dial,
			DisableKeepAlives: true,
			//nolint:gosec // the kubelet checks no certificates of probes either
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if req.URL.Hostname() != via[0].URL.Hostname() {
				return http.ErrUseLastResponse
			}
			if len(via) >= maxRedirects {
				return fmt.Errorf("stopped after %d redirects", maxRedirects)
			}
			return nil
		},
	}
}

func (p *prober) connect(ctx context.Context, to port) error {
	conn, err := p.dial(ctx, "tcp", p.address(to))
	if err != nil {
		return err
	}
	return conn.Close()
}

func (p *prober) health(ctx context.Context, what probe) error {
	conn, err := grpc.NewClient(
		"passthrough:///"+p.address(what.GRPC.Port),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) { return p.dial(ctx, "tcp", to) }),
	)
	if err != nil {
		return err
	}
	defer conn.Close()
	req := &healthv1.HealthCheckRequest{}
	if what.GRPC.Service != nil {
		req.Service = *what.GRPC.Service
	}
	res, err := healthv1.NewHealthClient(conn).Check(ctx, req)
	if err != nil {
		return err
	}
	if res.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		return fmt.Errorf("the service is %s", res.GetStatus())
	}
	return nil
}

func (p *prober) address(to port) string { return net.JoinHostPort(p.podIP, strconv.Itoa(int(to))) }

// dial leaves from probeSource. Linux has all of 127.0.0.0/8 on loopback, but ::6 only where the init container added it.
func (p *prober) dial(ctx context.Context, network, to string) (net.Conn, error) {
	var d net.Dialer
	if at, err := netip.ParseAddrPort(to); err == nil {
		source := probeSource[at.Addr().Is4()]
		if at.Addr().Is4() || hasAddress(source) {
			d.LocalAddr = &net.TCPAddr{IP: source}
		}
	}
	return d.DialContext(ctx, network, to)
}

func hasAddress(ip net.IP) bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return false
}
