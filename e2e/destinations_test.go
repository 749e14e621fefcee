//go:build lab

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// unknownDestinations: what the mesh does not know is reached as if there were no mesh. The server is this test.
func unknownDestinations(t *testing.T, l *lab) {
	host := hostAddress(t, l)
	const answer = `{"cluster":"host","protocol":"HTTP/1.1"}` + "\n"
	web := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) })
	servers := []struct {
		name, mode, port string
		serve            func(net.Listener)
	}{
		{"HTTP", "http1", "0", func(l net.Listener) { _ = (&http.Server{Handler: web, ReadHeaderTimeout: time.Minute}).Serve(l) }},
		{"HTTP on a port of the mesh", "http1", "21000", func(l net.Listener) { _ = (&http.Server{Handler: web, ReadHeaderTimeout: time.Minute}).Serve(l) }},
		{"TCP", "tcp", "0", func(l net.Listener) { accept(l, true, answer) }},
		{"TCP on a port of HTTP in the mesh", "tcp", "21001", func(l net.Listener) { accept(l, true, answer) }},
		{"TCP that speaks first", "banner", "0", func(l net.Listener) { accept(l, false, answer) }},
		{"TCP that speaks first, on a port that the mesh does not name", "banner", "21022", func(l net.Listener) { accept(l, false, answer) }},
	}
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			listener, err := net.Listen("tcp", net.JoinHostPort(host, s.port))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = listener.Close() })
			go s.serve(listener)
			for _, from := range sidecars {
				l.wantAnswers(t, from, s.mode, listener.Addr().String(), "host")
				l.wantPrompt(t, from, s.mode, listener.Addr().String())
			}
		})
	}
}

// accept answers each connection, after a line of the client's if it is to speak first.
func accept(l net.Listener, clientFirst bool, answer string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			if clientFirst {
				if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
					return
				}
			}
			_, _ = fmt.Fprint(conn, answer)
		}()
	}
}

// hostAddress is this machine's own address in the network of the lab's nodes.
func hostAddress(t *testing.T, l *lab) string {
	t.Helper()
	node := net.ParseIP(strings.TrimSpace(l.kubectl(t, "cluster1", "get", "nodes",
		`-o=jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`)))
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && network.Contains(node) {
			return network.IP.String()
		}
	}
	t.Fatalf("no interface of this machine is in the network of node %s", node)
	return ""
}

// found is what `echo lookup` says of a name.
type found struct {
	Name      string
	Addresses []string
	NotFound  bool
	Error     string
}

// lookup looks names up in a pod, by its own resolv.conf.
func (l *lab) lookup(t *testing.T, from caller, names ...string) []found {
	t.Helper()
	var all []found
	decoder := json.NewDecoder(strings.NewReader(l.inPod(t, from, append([]string{"lookup"}, names...)...)))
	for range names {
		var f found
		if err := decoder.Decode(&f); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

// forms are the ways to write a service's name in the own namespace.
func forms(name string) []string {
	return []string{name, name + ".proto", name + ".proto.svc", name + ".proto.svc.cluster.local", name + ".proto.svc.cluster.local."}
}

// resolving: names of the mesh in all their forms, and all others as a pod without a sidecar has them.
func resolving(t *testing.T, l *lab) {
	for i, from := range sidecars {
		own := l.clusterIP(t, from.cluster, "named")
		for _, f := range l.lookup(t, from, forms("named")...) {
			if !slices.Equal(f.Addresses, []string{own}) {
				t.Errorf("%s: %s is %v %s, want the own cluster's %s", from.cluster, f.Name, f.Addresses, f.Error, own)
			}
		}
		for _, f := range l.lookup(t, from, slices.Concat(forms("nobody"), []string{"nobody.invalid", "nobody"})...) {
			if !f.NotFound || len(f.Addresses) > 0 {
				t.Errorf("%s: %s is %v %s, want no such name", from.cluster, f.Name, f.Addresses, f.Error)
			}
		}
		// A name that leads to another, a pod by its address, and what the pod's own files say.
		others := []string{"elsewhere.proto", "10-1-2-3.proto.pod.cluster.local", "localhost", "example.com", "a.b.example.org."}
		with, without := l.lookup(t, from, others...), l.lookup(t, plains[i], others...)
		for j := range others {
			if !slices.Equal(with[j].Addresses, without[j].Addresses) || with[j].NotFound != without[j].NotFound {
				t.Errorf("%s: %s is %+v with a sidecar, and %+v without", from.cluster, others[j], with[j], without[j])
			}
		}
		out, err := l.run(t.Context(), "", "kubectl", "--context", from.cluster, "exec", "-n", "sample", "deploy/sleep", "-c", "sleep",
			"--", "nslookup", "nobody.proto.svc.cluster.local")
		if err == nil || !strings.Contains(out, "NXDOMAIN") {
			t.Errorf("%s: nslookup says of a name that nobody has: %v\n%s", from.cluster, err, out)
		}
	}
}

func (l *lab) clusterIP(t *testing.T, cluster, service string) string {
	t.Helper()
	return strings.TrimSpace(l.kubectl(t, cluster, "get", "service", "-n", "proto", service, "-o=jsonpath={.spec.clusterIP}"))
}

// oneClusterOnly: the cluster that has never heard of the service resolves its name and reaches it, by all protocols.
func oneClusterOnly(t *testing.T, l *lab) {
	for i, from := range sidecars {
		other := clusters[1-i]
		name := "alone-" + other
		if _, err := l.run(t.Context(), "", "kubectl", "--context", from.cluster, "get", "service", "-n", "proto", name); err == nil {
			t.Fatalf("%s has service %s itself", from.cluster, name)
		}
		address := l.clusterIP(t, other, name)
		for _, f := range l.lookup(t, from, forms(name)...) {
			if !slices.Equal(f.Addresses, []string{address}) {
				t.Errorf("%s: %s is %v %s, want %s", from.cluster, f.Name, f.Addresses, f.Error, address)
			}
		}
		if f := l.lookup(t, plains[i], name+".proto")[0]; !f.NotFound {
			t.Errorf("%s: without a sidecar, %s is %v", from.cluster, name, f.Addresses)
		}
		for _, host := range forms(name)[:4] {
			l.wantAnswers(t, from, "http1", host+":21000", other)
		}
		l.wantAnswers(t, from, "tcp", name+":21003", other)
		if got := l.call(t, from, "banner", name+":21022", 1); got.Answers[other] != 1 {
			t.Errorf("%s: %s", from.cluster, got.raw)
		}
		// The same for a service without a virtual address.
		for mode, port := range map[string]string{"http1": "8080", "tcp": "9000"} {
			l.wantAnswers(t, from, mode, "pods-"+other+":"+port, other)
		}
	}
}

// headless: the name gives the pods of both clusters, and connections to any of them are of the mesh.
func headless(t *testing.T, l *lab) {
	where := map[string]string{}
	for _, c := range clusters {
		where[l.podIP(t, c, "proto", "echo")] = c
	}
	pods := slices.Sorted(maps.Keys(where))
	for i, from := range sidecars {
		for _, f := range l.lookup(t, from, forms("headless")...) {
			if !slices.Equal(f.Addresses, pods) {
				t.Errorf("%s: %s is %v %s, want %v", from.cluster, f.Name, f.Addresses, f.Error, pods)
			}
		}
		other := l.podIP(t, clusters[1-i], "proto", "echo")
		before := l.handshakes(t, from, "outbound|9000||")
		l.wantAnswers(t, from, "tcp", other+":9000", clusters[1-i])
		if after := l.handshakes(t, from, "outbound|9000||"); after < before+5 {
			t.Errorf("%s: 5 connections made %d handshakes of TLS", from.cluster, after-before)
		}
		for _, ip := range pods {
			for _, host := range []string{"headless.proto", "headless.proto.svc", "headless.proto.svc.cluster.local", "echo-0.headless.proto"} {
				for _, port := range []string{"8080", "18080"} {
					got := l.curl(t, from.cluster, "--resolve", host+":"+port+":"+ip, host+":"+port)
					wantIdentity(t, got, "sample", "sleep")
					if got.Last.Cluster != where[ip] {
						t.Errorf("%s: %s at %s answers from %s, want %s", from.cluster, host, ip, got.Last.Cluster, where[ip])
					}
				}
			}
		}
	}
}

// handshakes counts the handshakes of TLS of a pod's proxy with upstreams: services of one set of pods share its addresses.
func (l *lab) handshakes(t *testing.T, from caller, upstreams string) int {
	t.Helper()
	stats := l.kubectl(t, from.cluster, "exec", "-n", from.namespace, "deploy/"+from.workload, "-c", "istio-proxy", "--",
		"pilot-agent", "request", "GET", "stats?format=json&usedonly&filter=ssl.handshake")
	var all struct {
		Stats []struct {
			Name  string
			Value int
		}
	}
	if err := json.Unmarshal([]byte(stats), &all); err != nil {
		t.Fatal(errors.Join(err, errors.New(stats)))
	}
	sum := 0
	for _, s := range all.Stats {
		if strings.HasPrefix(s.Name, "cluster."+upstreams) {
			sum += s.Value
		}
	}
	return sum
}
