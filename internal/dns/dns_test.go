package dns

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/isthmus-mesh/isthmus/internal/nds"
)

var table = nds.Table{
	"helloworld.sample.svc.cluster.local": {IPs: []string{"10.1.0.1"}, Registry: nds.Kubernetes, ShortName: "helloworld", Namespace: "sample"},
	"curl.other.svc.cluster.local":        {IPs: []string{"10.1.0.2", "fd00::2"}, Registry: nds.Kubernetes, ShortName: "curl", Namespace: "other"},
	"www.example.com":                     {IPs: []string{"240.240.0.1"}, Registry: nds.External},
	"*.wild.example":                      {IPs: []string{"240.240.0.2"}, Registry: nds.External},
	"range.example":                       {IPs: []string{"10.0.0.0/8"}, Registry: nds.External},
}

func TestQueries(t *testing.T) {
	t.Parallel()
	s := start(t, startUpstream(t))
	s.SetTable(table)
	cases := []struct {
		name  string
		query string
		kind  uint16
		want  string
	}{
		{"in full", "helloworld.sample.svc.cluster.local.", dns.TypeA, "A 10.1.0.1"},
		{"other case", "HelloWorld.Sample.svc.cluster.LOCAL.", dns.TypeA, "A 10.1.0.1"},
		{"own namespace, short", "helloworld.", dns.TypeA, "A 10.1.0.1"},
		{"with namespace", "helloworld.sample.", dns.TypeA, "A 10.1.0.1"},
		{"with svc", "curl.other.svc.", dns.TypeA, "A 10.1.0.2"},
		{"other namespace, short", "curl.", dns.TypeA, "NXDOMAIN from upstream"},
		{"search domain behind a short name", "curl.other.sample.svc.cluster.local.", dns.TypeA, "CNAME curl.other., A 10.1.0.2"},
		{"search domain behind a host", "www.example.com.sample.svc.cluster.local.", dns.TypeA, "CNAME www.example.com., A 240.240.0.1"},
		{"IPv6", "curl.other.", dns.TypeAAAA, "AAAA fd00::2"},
		{"no address of the family", "helloworld.sample.", dns.TypeAAAA, ""},
		{"host", "www.example.com.", dns.TypeA, "A 240.240.0.1"},
		{"wildcard", "a.b.wild.example.", dns.TypeA, "A 240.240.0.2"},
		{"wildcard behind the search domain", "a.wild.example.sample.svc.cluster.local.", dns.TypeA, "CNAME a.wild.example., A 240.240.0.2"},
		{"above the wildcard", "wild.example.", dns.TypeA, "NXDOMAIN from upstream"},
		{"a range is no address", "range.example.", dns.TypeA, ""},
		{"other record of a known name", "helloworld.sample.", dns.TypeTXT, ""},
		{"other record that upstream has", "www.example.com.", dns.TypeMX, "MX mail.example.com. from upstream"},
		{"unknown", "up.example.", dns.TypeA, "A 192.0.2.1 from upstream"},
	}
	for _, c := range cases {
		for _, network := range []string{"udp", "tcp"} {
			if got := ask(t, s.Addr(), network, c.query, c.kind); got != c.want {
				t.Errorf("%s by %s: got %q, want %q", c.name, network, got, c.want)
			}
		}
	}
}

func TestBeforeTheFirstTableEverythingIsPassedOn(t *testing.T) {
	t.Parallel()
	s := start(t, startUpstream(t))
	if got := ask(t, s.Addr(), "udp", "up.example.", dns.TypeA); got != "A 192.0.2.1 from upstream" {
		t.Errorf("got %q", got)
	}
	select {
	case <-s.Ready():
		t.Error("ready without a table")
	default:
	}
	s.SetTable(nil)
	<-s.Ready()
}

func TestLastTableWins(t *testing.T) {
	t.Parallel()
	s := start(t, startUpstream(t))
	s.SetTable(table)
	s.SetTable(nds.Table{"www.example.com": {IPs: []string{"10.9.9.9"}}})
	if got := ask(t, s.Addr(), "udp", "www.example.com.", dns.TypeA); got != "A 10.9.9.9" {
		t.Errorf("got %q", got)
	}
	if got := ask(t, s.Addr(), "udp", "helloworld.sample.", dns.TypeA); got != "NXDOMAIN from upstream" {
		t.Errorf("a name that is gone is still answered: %q", got)
	}
	if diff := cmp.Diff(map[string][]string{"www.example.com": {"10.9.9.9"}}, s.Names()); diff != "" {
		t.Error(diff)
	}
}

func TestLargeAnswersComeByTCP(t *testing.T) {
	t.Parallel()
	s := start(t, "")
	var ips []string
	for i := range 200 {
		ips = append(ips, fmt.Sprintf("10.2.0.%d", i))
	}
	s.SetTable(nds.Table{"many.example": {IPs: ips}})
	q := new(dns.Msg).SetQuestion("many.example.", dns.TypeA)
	short, _, err := (&dns.Client{Net: "udp"}).Exchange(q, s.Addr())
	if err != nil || !short.Truncated || len(short.Answer) == 0 {
		t.Errorf("by UDP: error %v, answer %v; want a truncated one", err, short)
	}
	full, _, err := (&dns.Client{Net: "tcp"}).Exchange(q, s.Addr())
	if err != nil || full.Truncated || len(full.Answer) != len(ips) {
		t.Errorf("by TCP: error %v, answer %v; want all %d", err, full, len(ips))
	}
}

func TestDeadServersAreSkipped(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	s := start(t, dead, startUpstream(t))
	for range 10 { // the order is random
		if got := ask(t, s.Addr(), "tcp", "up.example.", dns.TypeA); got != "A 192.0.2.1 from upstream" {
			t.Errorf("got %q", got)
		}
	}
	alone := start(t, dead)
	if got := ask(t, alone.Addr(), "tcp", "up.example.", dns.TypeA); got != "SERVFAIL" {
		t.Errorf("no server answers: got %q", got)
	}
}

func start(t *testing.T, upstreams ...string) *Server {
	t.Helper()
	s, err := New(Options{
		Addresses: []string{"127.0.0.1:0"}, Namespace: "sample", Search: []string{"sample.svc.cluster.local", "svc.cluster.local"},
		Upstreams: slices.DeleteFunc(upstreams, func(u string) bool { return u == "" }),
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// startUpstream is a name server that knows up.example and a mail server, marks its answers and denies all else.
func startUpstream(t *testing.T) string {
	t.Helper()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		known := map[string]string{
			"up.example. A":       "up.example. 60 IN A 192.0.2.1",
			"www.example.com. MX": "www.example.com. 60 IN MX 10 mail.example.com.",
		}
		if text, ok := known[q.Question[0].Name+" "+dns.TypeToString[q.Question[0].Qtype]]; ok {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Error(err)
			}
			reply.Answer = append(reply.Answer, rr)
		} else {
			reply.Rcode = dns.RcodeNameError
		}
		mark, _ := dns.NewRR(`upstream. 60 IN TXT "upstream"`)
		reply.Extra = append(reply.Extra, mark)
		_ = w.WriteMsg(reply)
	})
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []*dns.Server{{PacketConn: udp, Handler: handler}, {Listener: tcp, Handler: handler}} {
		go func() { _ = server.ActivateAndServe() }()
	}
	t.Cleanup(func() { _, _ = udp.Close(), tcp.Close() })
	return tcp.Addr().String()
}

// ask sends one query and writes the answer in one line.
func ask(t *testing.T, server, network, name string, kind uint16) string {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, kind)
	reply, _, err := (&dns.Client{Net: network}).Exchange(q, server)
	if err != nil {
		t.Fatalf("ask %s for %s: %v", server, name, err)
	}
	var words []string
	if reply.Rcode != dns.RcodeSuccess {
		words = append(words, dns.RcodeToString[reply.Rcode])
	}
	for _, rr := range reply.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			words = append(words, "A "+rr.A.String())
		case *dns.AAAA:
			words = append(words, "AAAA "+rr.AAAA.String())
		case *dns.CNAME:
			words = append(words, "CNAME "+rr.Target)
		case *dns.MX:
			words = append(words, "MX "+rr.Mx)
		}
	}
	answer := strings.Join(words, ", ")
	if len(reply.Extra) > 0 {
		answer += " from upstream"
	}
	return answer
}
