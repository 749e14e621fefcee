package probe_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/probe"
)

func TestParseCertificates(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, header string
		want         []probe.Certificate
	}{
		{"none", "", nil},
		{
			"one hop", `By=spiffe://td/ns/a/sa/server;Hash=00ff;Subject="";URI=spiffe://td/ns/a/sa/client`,
			[]probe.Certificate{{By: "spiffe://td/ns/a/sa/server", URI: "spiffe://td/ns/a/sa/client"}},
		},
		{
			"separators and quotes inside of quotes",
			`By=spiffe://td/ns/a/sa/s;Subject="CN=\"x\",O=y;z";URI=spiffe://td/ns/a/sa/c`,
			[]probe.Certificate{{By: "spiffe://td/ns/a/sa/s", URI: "spiffe://td/ns/a/sa/c"}},
		},
		{
			"two hops", `URI=spiffe://td/ns/a/sa/first, By=x;uri="spiffe://td/ns/a/sa/last"`,
			[]probe.Certificate{{URI: "spiffe://td/ns/a/sa/first"}, {By: "x", URI: "spiffe://td/ns/a/sa/last"}},
		},
		{"no certificate", "Hash=00;Subject=\"\"", nil},
		{"quote that never ends", `Subject="a,b;URI=c`, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, probe.ParseCertificates(c.header)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCallsReachAProbe(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(probe.Handler("cluster2", "probe-1"))
	defer server.Close()
	var out bytes.Buffer
	cmd := probe.NewCommand()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"call", server.URL, "-n", "3"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	var report probe.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if report.Tries != 3 || len(report.Calls) != 3 {
		t.Fatalf("want 3 calls, got %+v", report)
	}
	want := &probe.Answer{Cluster: "cluster2", Pod: "probe-1"}
	if diff := cmp.Diff(want, report.Calls[2].Answer); diff != "" {
		t.Error(diff)
	}
}

func TestCallForgivesUntilItWorks(t *testing.T) {
	t.Parallel()
	var served atomic.Int32
	working := probe.Handler("cluster2", "probe-1")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if served.Add(1) < 3 {
			http.Error(w, "no healthy upstream", http.StatusServiceUnavailable)
			return
		}
		working.ServeHTTP(w, r)
	}))
	defer server.Close()
	plan := probe.Plan{URL: server.URL, Count: 2, Timeout: time.Second, Patience: time.Minute}
	report := plan.Run(t.Context())
	if report.Tries != 4 || len(report.Calls) != 2 || report.Calls[0].Status != http.StatusOK {
		t.Errorf("want two good calls after two failed ones, got %+v", report)
	}
}

func TestCallReportsWhatFailed(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "envoy")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("no healthy upstream"))
	}))
	call := probe.Plan{URL: server.URL, Count: 1, Timeout: time.Second}.Run(t.Context()).Calls[0]
	if call.Status != http.StatusServiceUnavailable || call.Body != "no healthy upstream" || call.Server != "envoy" {
		t.Errorf("got %+v", call)
	}
	server.Close()
	call = probe.Plan{URL: server.URL, Count: 1, Timeout: time.Second}.Run(t.Context()).Calls[0]
	if call.Status != 0 || !strings.Contains(call.Error, "refused") {
		t.Errorf("got %+v", call)
	}
}
