package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"

	"github.com/isthmus-mesh/isthmus/internal/sds"
)

func TestConnectionsThatAreRefused(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		c    controlPlane
		want string
	}{
		{"no port", controlPlane{address: "istiod"}, "address of the control plane"},
		{"plain text to elsewhere", controlPlane{address: "192.0.2.1:15010", plainText: true}, "refused"},
		{"no roots", controlPlane{address: "istiod:15012", rootFile: filepath.Join(t.TempDir(), "none")}, "read root certificates"},
		{"empty roots", controlPlane{address: "istiod:15012", rootFile: empty}, "holds none"},
		{"plain text on loopback", controlPlane{address: "127.0.0.1:15010", plainText: true}, ""},
		{"system roots", controlPlane{address: "istiod:15012", rootFile: "SYSTEM"}, ""},
	}
	for _, c := range cases {
		conn, err := c.c.dial()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
}

func TestHeadersOfARequest(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	c := controlPlane{tokenFile: token, headers: environment([]string{"XDS_HEADER_Tenant=blue", "OTHER=1"}).headers("XDS_HEADER_")}
	check := func(want map[string]string) {
		t.Helper()
		got, err := c.GetRequestMetadata(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	check(map[string]string{"tenant": "blue"})
	for _, text := range []string{"one", "two\n"} { // the kubelet renews it
		if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		check(map[string]string{"tenant": "blue", "authorization": "Bearer " + strings.TrimSpace(text)})
	}
	if !c.RequireTransportSecurity() {
		t.Error("the token may go out without TLS")
	}
	none := controlPlane{certificate: func() *tls.Certificate { return nil }}
	if cert, err := none.clientCertificate(&tls.CertificateRequestInfo{}); err != nil || len(cert.Certificate) != 0 {
		t.Errorf("certificate %v, error %v; want an empty one", cert, err)
	}
}

func TestSomePathsAnswerToThePodOnly(t *testing.T) {
	t.Parallel()
	h := localOnly(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	for from, want := range map[string]int{"127.0.0.1:1": 200, "[::1]:1": 200, "[::ffff:127.0.0.1]:1": 200, "10.0.0.1:1": 403, "": 403} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/drain", nil)
		r.RemoteAddr = from
		h(w, r)
		if w.Code != want {
			t.Errorf("from %q: %d, want %d", from, w.Code, want)
		}
	}
}

func TestReadinessNeedsAllOfEnvoysState(t *testing.T) {
	t.Parallel()
	good := "cluster_manager.cds.update_success: 3\nlistener_manager.lds.update_success: 1\nlistener_manager.workers_started: 1\nserver.state: 0\n"
	if err := configured(good); err != nil {
		t.Error(err)
	}
	for _, change := range [][2]string{
		{"success: 3", "success: 0"}, {"lds.update_success: 1", "lds.update_success: 0"}, {"started: 1", "started: 0"}, {"state: 0", "state: 2"}, {"server.state: 0\n", ""},
	} {
		if err := configured(strings.Replace(good, change[0], change[1], 1)); err == nil {
			t.Errorf("ready with %q", change[1])
		}
	}
}

func TestReadinessNeedsACertificate(t *testing.T) {
	t.Parallel()
	envoy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "cluster_manager.cds.update_success: 1\nlistener_manager.lds.update_success: 1\nlistener_manager.workers_started: 1\nserver.state: 0\n")
	}))
	t.Cleanup(envoy.Close)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan struct{}, 1)
	keeper := sds.NewKeeper(sds.Options{Identity: "spiffe://cluster.local/ns/sample/sa/curl", Sign: func(context.Context, []byte, time.Duration) ([]string, error) {
		select {
		case failed <- struct{}{}:
		default:
		}
		return nil, errors.New("the authority refuses")
	}})
	go keeper.Run(ctx)
	<-failed
	if err := newReadiness(portOf(envoy.Listener.Addr().String()), nil, keeper).check(ctx); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("check = %v, want that the certificate is missing", err)
	}
}

// Makes this process the one that orphans are handed to, as the first process of a container is. Not parallel: it would
// reap the children of other tests.
func TestOrphansAreReaped(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) })
	// The shell ends at once and leaves its child, which ends when its input does.
	cmd := exec.Command("/bin/sh", "-c", "cat <&3 & ")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{read}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	_ = read.Close()
	_ = write.Close()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for reapAllBut(os.Getpid()) == 0 {
		select {
		case <-deadline:
			t.Fatal("the orphan was not reaped")
		case <-tick.C:
		}
	}
}

func TestProxyConfigChoosesPorts(t *testing.T) {
	t.Parallel()
	cases := []struct {
		config    *meshv1alpha1.ProxyConfig
		status    string
		adminPort uint32
	}{
		{&meshv1alpha1.ProxyConfig{}, ":15020", 15000},
		{&meshv1alpha1.ProxyConfig{StatusPort: 16020, ProxyAdminPort: 16000}, ":16020", 16000},
	}
	for _, c := range cases {
		o := Defaults(nil).withConfig(c.config)
		if o.StatusAddress != c.status || o.AdminPort != c.adminPort {
			t.Errorf("%v: status %s, admin %d; want %s and %d", c.config, o.StatusAddress, o.AdminPort, c.status, c.adminPort)
		}
	}
	given := Options{StatusAddress: "127.0.0.1:1", AdminPort: 2}
	if o := given.withConfig(cases[1].config); o.StatusAddress != "127.0.0.1:1" || o.AdminPort != 2 {
		t.Errorf("what was given is overruled: %v", o)
	}
}
