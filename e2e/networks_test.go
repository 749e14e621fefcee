//go:build lab

package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Two clusters on two networks: pods do not reach each other, so every request between clusters goes through port 15443
// of a gateway, which lets nobody through but the mesh.
func TestTwoNetworks(t *testing.T) {
	t.Parallel()
	l := newLab(t, "nets", "--networks", "2")
	l.trust(t)
	for i, c := range clusters {
		network := fmt.Sprintf("network%d", i+1)
		file := filepath.Join(l.dir, c+".yaml")
		spec := fmt.Sprintf("apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n  values:\n    global:\n"+
			"      meshID: mesh1\n      multiCluster:\n        clusterName: %s\n      network: %s\n", c, network)
		if err := os.WriteFile(file, []byte(spec), 0o600); err != nil {
			t.Fatal(err)
		}
		l.must(t, "istioctl", "install", "-y", "--context="+c, "-f", file)
		gateway := l.must(t, filepath.Join(l.dir, "samples/multicluster/gen-eastwest-gateway.sh"),
			"--mesh", "mesh1", "--cluster", c, "--network", network)
		l.mustWith(t, gateway, "istioctl", "--context="+c, "install", "-y", "-f", "-")
		l.kubectl(t, c, "apply", "-n", "istio-system", "-f", "samples/multicluster/expose-services.yaml")
	}
	for i, c := range clusters {
		secret := l.must(t, "istioctl", "create-remote-secret", "--context="+c, "--name="+c)
		l.mustWith(t, secret, "kubectl", "--context", clusters[1-i], "apply", "-f", "-")
	}
	l.samples(t)
	t.Run("pods do not reach each other", func(t *testing.T) { podsApart(t, l) })
	t.Run("both versions answer through the gateways", func(t *testing.T) { throughGateways(t, l) })
	t.Run("verify", func(t *testing.T) { l.green(t) })
	t.Run("strangers are refused", func(t *testing.T) { strangers(t, l) })
	t.Run("availability", func(t *testing.T) { availability(t, l, credentialsMove) })
}

// podsApart proves that the networks are separate: a pod of the own cluster answers by its address, one of the other does not.
func podsApart(t *testing.T, l *lab) {
	for _, c := range clusters {
		ip := l.podIP(t, c, "sample", "helloworld")
		out, err := l.run(t.Context(), "", "kubectl", "--context", "cluster1", "exec", "-n", "sample", "deploy/sleep", "-c", "sleep", "--",
			"curl", "-sS", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", "http://"+ip+":5000/hello")
		if answered := err == nil && strings.Contains(out, "200"); answered != (c == "cluster1") {
			t.Errorf("a pod of cluster1 calls pod %s of %s, answered: %t: %v %s", ip, c, answered, err, out)
		}
	}
}

var connections = regexp.MustCompile(`listener\.0\.0\.0\.0_15443\.downstream_cx_total: (\d+)`)

// passed counts the connections that a cluster's gateway took on port 15443.
func passed(t *testing.T, l *lab, cluster string) int {
	t.Helper()
	stats := l.kubectl(t, cluster, "exec", "-n", "istio-system", "deploy/istio-eastwestgateway", "--",
		"pilot-agent", "request", "GET", "/stats", "--debug-port=15000")
	m := connections.FindStringSubmatch(stats)
	if m == nil {
		t.Fatalf("%s: the gateway has no count of connections on 15443", cluster)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// throughGateways counts the connections of clients that have none yet: sidecars keep those that they made.
func throughGateways(t *testing.T, l *lab) {
	before := map[string]int{}
	for _, c := range clusters {
		l.kubectl(t, c, "rollout", "restart", "-n", "sample", "deploy/sleep")
		l.rollout(t, c, "deploy/sleep")
		before[c] = passed(t, l, c)
	}
	l.bothVersions(t)
	for _, c := range clusters {
		if n := passed(t, l, c); n <= before[c] {
			t.Errorf("%s: %d connections on port 15443 after requests from the other cluster, %d before", c, n, before[c])
		}
	}
}

// strangers tries the gateway from outside: with a certificate of the mesh a request gets through, with anything else it
// does not.
func strangers(t *testing.T, l *lab) {
	address := strings.TrimSpace(l.kubectl(t, "cluster1", "get", "svc", "istio-eastwestgateway", "-n", "istio-system",
		"-o=jsonpath={.status.loadBalancer.ingress[0].ip}")) + ":15443"
	const service = "outbound_.5000_._.helloworld.sample.svc.cluster.local"
	mesh := workloadCertificate(t, l, "certs", "cluster1")
	foreign := workloadCertificate(t, l, "elsewhere", "other")
	cases := []struct {
		name, sni    string
		certificates []tls.Certificate
		protocols    []string
		want         bool
	}{
		{"a workload of the mesh", service, []tls.Certificate{mesh}, []string{"istio-http/1.1", "istio", "http/1.1"}, true},
		{"no certificate", service, nil, []string{"istio-http/1.1", "istio", "http/1.1"}, false},
		{"another root", service, []tls.Certificate{foreign}, []string{"istio-http/1.1", "istio", "http/1.1"}, false},
		{"a name that is no service", "outbound_.5000_._.nobody.sample.svc.cluster.local", []tls.Certificate{mesh}, []string{"istio"}, false},
		{"a name that is not the mesh's", "prometheus_stats", []tls.Certificate{mesh}, []string{"istio"}, false},
		{"TLS that is not the mesh's", service, []tls.Certificate{mesh}, []string{"h2", "http/1.1"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			status, err := ask(address, &tls.Config{
				ServerName: c.sni, Certificates: c.certificates, NextProtos: c.protocols,
				InsecureSkipVerify: true, // the server is named by a SPIFFE URI; what matters here is whom it lets in
			})
			if got := err == nil && status == http.StatusOK; got != c.want {
				t.Errorf("got through: %t (status %d, %v), want %t", got, status, err, c.want)
			}
		})
	}
	t.Run("plain text", func(t *testing.T) {
		client := http.Client{Timeout: 5 * time.Second}
		if response, err := client.Get("http://" + address + "/hello"); err == nil {
			_ = response.Body.Close()
			t.Errorf("plain text was answered with %s", response.Status)
		}
	})
}

func ask(address string, config *tls.Config) (int, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 15 * time.Second}, "tcp", address, config)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := fmt.Fprint(conn, "GET /hello HTTP/1.1\r\nHost: helloworld.sample:5000\r\nConnection: close\r\n\r\n"); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// workloadCertificate makes a certificate for sleep by an authority of the root in a folder.
func workloadCertificate(t *testing.T, l *lab, root, authority string) tls.Certificate {
	t.Helper()
	l.must(t, "istioctl", "cert", "workload", "sample", "--dir", root, "--authority", authority, "--service-account", "sleep")
	folder := filepath.Join(l.dir, root, "sample")
	c, err := tls.LoadX509KeyPair(filepath.Join(folder, "workload-cert-chain.pem"), filepath.Join(folder, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.URIs) != 1 {
		t.Fatal(errors.New("the certificate names no SPIFFE identity"))
	}
	return c
}
