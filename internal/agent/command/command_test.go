package command

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"github.com/isthmus-mesh/isthmus/internal/capture"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// run runs a command line and returns what it prints.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := New()
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func settings(t *testing.T, env map[string]string, h host, args ...string) (capture.Settings, error) {
	t.Helper()
	var c captureFlags
	f := pflag.NewFlagSet("capture", pflag.ContinueOnError)
	c.add(f, func(name string) string { return env[name] })
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return c.settings(h)
}

var injected = []string{
	"-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020",
}

func TestCaptureFlags(t *testing.T) {
	t.Parallel()
	pod := host{nameservers: []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd00::a")}}
	base := capture.Defaults()
	base.ExcludeInboundPorts, base.Nameservers = []uint16{15090, 15021, 15020}, pod.nameservers
	cases := []struct {
		name string
		env  map[string]string
		args []string
		want func(*capture.Settings)
	}{
		{"as injected", nil, nil, func(*capture.Settings) {}},
		{"DNS by flag", nil, []string{"--capture-dns"}, func(s *capture.Settings) { s.DNS = true }},
		{"DNS by Istio's flag", nil, []string{"--redirect-dns=true"}, func(s *capture.Settings) { s.DNS = true }},
		{"DNS by environment", map[string]string{"ISTIO_META_DNS_CAPTURE": "true"}, nil, func(s *capture.Settings) { s.DNS = true }},
		{"lists", nil, []string{
			"-q", "443", "-o", "5432, 6379", "-i", "10.0.0.0/8,192.0.2.1", "-x", "10.1.2.3/16", "-b", "80", "-g", "7", "-c", "eth1", "-k", "net1,net2",
		}, func(s *capture.Settings) {
			s.OutboundPorts, s.ExcludeOutboundPorts = []uint16{443}, []uint16{5432, 6379}
			s.OutboundCIDRs = capture.CIDRs{List: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32")}}
			s.ExcludeOutboundCIDRs = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
			s.InboundPorts, s.ProxyGIDs = capture.Ports{List: []uint16{80}}, []uint32{7}
			s.ExcludeInterfaces, s.VirtualInterfaces = []string{"eth1"}, []string{"net1", "net2"}
		}},
	}
	for _, c := range cases {
		want := base
		c.want(&want)
		got, err := settings(t, c.env, pod, append(append([]string(nil), injected...), c.args...)...)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
			cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestCaptureLetsIPv6PassInPodsOfBothFamilies(t *testing.T) {
	t.Parallel()
	resolvConf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolvConf, []byte("nameserver 10.96.0.10\nnameserver fd00::a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := settings(t, nil, findHost(resolvConf), append(injected, "--capture-dns")...)
	if err != nil {
		t.Fatal(err)
	}
	rules := capture.Text(capture.Plan(s))
	if strings.Contains(rules, "ip6 ") || !strings.Contains(rules, "ip daddr 10.96.0.10/32 udp dport 53 redirect") {
		t.Errorf("rules:\n%s", rules)
	}
	if n := strings.Count(rules, "meta nfproto ipv6 return"); n != 2 {
		t.Errorf("%d chains let IPv6 pass, want the one inbound and the one outbound:\n%s", n, rules)
	}
}

func TestCaptureRefuses(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, want string
		args       []string
	}{
		{"TPROXY", "TPROXY is not supported", []string{"-m", "TPROXY"}},
		{"validation", "not supported", []string{"--run-validation"}},
		{"a port out of range", "-d", []string{"-d", "70000"}},
		{"a range that is none", "-x", []string{"-x", "10.0.0.0/40"}},
		{"a user by name", "--proxy-uid", []string{"-u", "root"}},
	}
	for _, c := range cases {
		if _, err := settings(t, nil, host{}, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := settings(t, nil, findHost(filepath.Join(t.TempDir(), "none")), "--capture-dns"); err == nil {
		t.Error("captures DNS though the name servers are not known")
	}
}

func TestDryRunPrintsTheRules(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 10.96.0.10\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"capture", "istio-iptables"} {
		out, err := run(t, append([]string{name, "--dry-run", "--capture-dns", "--resolv-conf", conf, "--log_output_level=default:info"}, injected...)...)
		if err != nil || !strings.Contains(out, "ip daddr 10.96.0.10/32 udp dport 53 redirect to :15053") {
			t.Errorf("%s: error %v, printed:\n%s", name, err, out)
		}
	}
}

func TestRequestAndWait(t *testing.T) {
	t.Parallel()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch asked++; {
		case r.Method == http.MethodPost && r.URL.Path == "/drain":
			_, _ = w.Write([]byte("drained"))
		case asked < 4:
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, "request", "--debug-port="+port, "POST", "drain"); err != nil || out != "drained" {
		t.Errorf("request printed %q, error %v", out, err)
	}
	if _, err := run(t, "request", "--debug-port="+port, "GET", "/other"); err == nil || !strings.Contains(err.Error(), "not yet") {
		t.Errorf("error %v, want the server's", err)
	}
	if _, err := run(t, "wait", "--url", server.URL, "--periodMillis", "1"); err != nil {
		t.Error(err)
	}
	server.Close()
	if _, err := run(t, "wait", "--url", server.URL, "--periodMillis", "1", "--timeoutSeconds", "0"); err == nil {
		t.Error("waited for nobody and was content")
	}
}

// The arguments are those of a pod template; a wrong domain of Envoy ends the run before anything starts.
func TestProxyTakesTheTemplatesFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := run(t, "proxy", "sidecar", "--domain", "ns.svc.cluster.local", "--proxyLogLevel=warning",
		"--proxyComponentLogLevel=misc:error", "--log_output_level=default:info", "--stsPort", "0", "--log_as_json",
		"--outlierLogPath=/dev/stdout", "--concurrency", "2", "--token-file", dir+"/token", "--status-address", "no address",
		"--config-path", dir, "--sds-socket", dir+"/sds", "--resolv-conf", "/etc/resolv.conf", "--dns-address", "127.0.0.1:0")
	if err == nil || !strings.Contains(err.Error(), "listen for status") {
		t.Errorf("error %v, want the one about the status address", err)
	}
	if _, err := run(t, "proxy", "waypoint"); err == nil {
		t.Error("runs a kind of proxy that there is not")
	}
}

func TestLogLevels(t *testing.T) {
	t.Parallel()
	cases := map[string]slog.Level{
		"default:info": slog.LevelInfo, "debug": slog.LevelDebug, "ads:debug": slog.LevelInfo, "ads:debug,default:warn": slog.LevelWarn,
		"all:error": slog.LevelError, "": slog.LevelInfo,
	}
	for text, want := range cases {
		if got, err := parseLevel(text); err != nil || got != want {
			t.Errorf("%q: level %v, error %v, want %v", text, got, err, want)
		}
	}
	if _, err := parseLevel("loud"); err == nil {
		t.Error("took a level that there is not")
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if out, err := run(t, "version"); err != nil || strings.TrimSpace(out) != version.Version {
		t.Errorf("printed %q, error %v", out, err)
	}
}
