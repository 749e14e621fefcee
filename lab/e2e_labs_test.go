//go:build lab

package lab

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/lab/internal/pki"
)

func TestTwoLabsSideBySide(t *testing.T) {
	began := time.Now()
	lab(t, "up", "--name", flat)
	if took := time.Since(began); took > 20*time.Second {
		t.Logf("NOTE: two clusters took %s; on a free machine they are to be ready within 20 s", took)
	}
	lab(t, "up", "--name", apart, "--networks", "2", "--nodes", "2")
	for name, nodes := range map[string]int{flat: 1, apart: 2} {
		lab(t, "load-image", "--name", name, echoTar)
		for _, cluster := range []string{"cluster1", "cluster2"} {
			in{name, cluster}.deploy(t, nodes)
		}
	}
	t.Run("in use", testInUse)
	t.Run("up again", testUpAgain)
	t.Run("up after the node died", testRepair)
	lab(t, "down", "--name", apart)
	checkGone(t, apart)
	if err := want("cluster1")(fromHost("http://" + in{flat, "cluster1"}.address(t, "server"))); err != nil {
		t.Error("the lab beside the one that went down:", err)
	}
	lab(t, "down", "--name", flat)
	checkGone(t, flat)
}

// testInUse are the tests that leave the labs and each other alone: most of their time is that of answers which do not come.
func testInUse(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"one network":                  testOneNetwork,
		"two networks":                 testTwoNetworks,
		"webhook and service account":  testControlPlane,
		"addresses are kept and freed": testAddresses,
		"labels and logs":              testLabelsAndLogs,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

func testOneNetwork(t *testing.T) {
	for _, pair := range [][2]string{{"cluster1", "cluster2"}, {"cluster2", "cluster1"}} {
		here, there := in{flat, pair[0]}, in{flat, pair[1]}
		here.podIP(t, "client")
		urls := map[string]string{
			"pod":          "http://" + there.podIP(t, "server") + ":8080",
			"LoadBalancer": "http://" + there.address(t, "server"),
		}
		for what, url := range urls {
			until(t, here.cluster+" to a "+what+" of "+there.cluster, func() error { return want(there.cluster)(here.fromPod("get", url)) })
			until(t, "the host to a "+what+" of "+there.cluster, func() error { return want(there.cluster)(fromHost(url)) })
		}
		until(t, here.cluster+" by name", func() error {
			return want(here.cluster)(here.fromPod("get", "http://server.default.svc.cluster.local"))
		})
	}
}

func testTwoNetworks(t *testing.T) {
	report := status(t, apart)
	if report.Clusters[0].Network != "network1" || report.Clusters[1].Network != "network2" || report.Clusters[1].Nodes[1].Zone != "region2-b" {
		t.Errorf("status: %+v", report)
	}
	for _, pair := range [][2]string{{"cluster1", "cluster2"}, {"cluster2", "cluster1"}} {
		here, there := in{apart, pair[0]}, in{apart, pair[1]}
		here.podIP(t, "client")
		server := there.podIP(t, "server")
		until(t, here.cluster+" to a LoadBalancer", func() error {
			return want(there.cluster)(here.fromPod("get", "http://"+there.address(t, "server")))
		})
		until(t, here.cluster+" to an API server", func() error {
			node := there.get(t, "node", there.cluster+"-node1", ".status.addresses[0].address")
			return want("")(here.fromPod("dial", node+":6443"))
		})
		// The server answers its own cluster, so that what follows is not true for want of a server.
		until(t, there.cluster+" to its own pod", func() error { return want(there.cluster)(there.fromPod("get", "http://"+server+":8080")) })
		if out, err := here.fromPod("get", "http://"+server+":8080"); err == nil || !strings.Contains(out, "exceeded") {
			t.Errorf("%s reached a pod of another network: %q, %v; want no answer", here.cluster, out, err)
		}
		port := there.get(t, "service", "server", ".spec.ports[0].nodePort")
		node := there.get(t, "node", there.cluster+"-node2", ".status.addresses[0].address")
		if out, err := here.fromPod("dial", net.JoinHostPort(node, port)); err == nil {
			t.Errorf("%s reached a node port of another network: %q", here.cluster, out)
		}
	}
}

func testControlPlane(t *testing.T) {
	c := in{flat, "cluster2"}
	authority, err := pki.NewAuthority("webhook", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Server("webhook", []string{"webhook.default.svc"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.StdEncoding.EncodeToString
	c.apply(t, fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: webhook}
data: {tls.crt: %s, tls.key: %s}
---
apiVersion: v1
kind: Pod
metadata: {name: webhook, labels: {app: webhook}}
spec:
  containers: [{name: echo, image: %q, args: [webhook, /cert/tls.crt, /cert/tls.key], volumeMounts: [{name: cert, mountPath: /cert}]}]
  volumes: [{name: cert, secret: {secretName: webhook}}]
---
apiVersion: v1
kind: Service
metadata: {name: webhook}
spec: {selector: {app: webhook}, ports: [{port: 443, targetPort: 8443}]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: e2e}
webhooks:
  - name: e2e.lab.isthmus.io
    clientConfig: {service: {namespace: default, name: webhook}, caBundle: %s}
    rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
    objectSelector: {matchLabels: {refuse: "yes"}}
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Fail
`, encode(pair.Cert), encode(pair.Key), echoImage, encode(authority.Cert)))
	c.podIP(t, "webhook")
	until(t, "the API server asks the webhook", func() error {
		out, err := c.try("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: refused, labels: {refuse: \"yes\"}}", "create", "-f", "-")
		if err == nil || !strings.Contains(out, "refused by the test's webhook") {
			return fmt.Errorf("got %q, %w", out, orNone(err))
		}
		return nil
	})
	// CoreDNS answers only after it has listed Services through its service account; what is asserted here is that RBAC is on for others.
	if out, err := c.try("", "--as=system:serviceaccount:default:default", "get", "secrets"); err == nil || !strings.Contains(out, "forbidden") {
		t.Errorf("a service account without permissions read secrets: %q, %v", out, err)
	}
}

func testAddresses(t *testing.T) {
	c := in{flat, "cluster1"}
	service := func(name string) {
		c.apply(t, "apiVersion: v1\nkind: Service\nmetadata: {name: "+name+"}\nspec: {type: LoadBalancer, ports: [{port: 80}]}")
	}
	server := c.address(t, "server")
	service("second")
	second := c.address(t, "second")
	if second == server {
		t.Errorf("two Services have the address %s", second)
	}
	c.kubectl(t, "delete", "service", "second")
	service("third")
	if third := c.address(t, "third"); third != second {
		t.Errorf("the address %s was not freed: the next Service got %s", second, third)
	}
	c.kubectl(t, "delete", "service", "third")
	if again := c.address(t, "server"); again != server {
		t.Errorf("the address of a Service changed from %s to %s", server, again)
	}
}

func testLabelsAndLogs(t *testing.T) {
	for node, want := range map[string]string{"cluster1-node1": "region1 region1-a", "cluster2-node2": "region2 region2-b"} {
		cluster, _, _ := strings.Cut(node, "-")
		labels := `{.metadata.labels.topology\.kubernetes\.io/region} {.metadata.labels.topology\.kubernetes\.io/zone}`
		if got := (in{apart, cluster}).kubectl(t, "get", "node", node, "-o", "jsonpath="+labels); got != want {
			t.Errorf("%s is in %q, want %q", node, got, want)
		}
	}
	if out := lab(t, "logs", "kubelet", "--name", apart, "--cluster", "cluster2", "--node", "2"); !strings.Contains(out, "cluster2-node2") {
		t.Errorf("the kubelet's log does not name its node:\n%.500s", out)
	}
}

func testUpAgain(t *testing.T) {
	if out := lab(t, "up", "--name", flat); !strings.Contains(out, "is up already") {
		t.Errorf("up of a lab that is up: %s", out)
	}
	out, err := exec.Command(program, "up", "--name", flat, "--clusters", "3").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "take it down first") {
		t.Errorf("up with another size: %v\n%s", err, out)
	}
}

func testRepair(t *testing.T) {
	if testing.Short() {
		t.Skip("short: the longest of these tests, which few users come to need")
	}
	c := in{flat, "cluster2"}
	address := c.address(t, "server")
	for _, pid := range processes(t, flat+"/c2n1/node.json") {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(lab(t, "up", "--name", flat))
	if again := c.address(t, "server"); again != address {
		t.Errorf("after a repair the Service has %s, before it had %s", again, address)
	}
	until(t, "the Service answers after a repair", func() error { return want("cluster2")(fromHost("http://" + address)) })
}

func TestNothingIsLeftOfAnUpThatEndsHalfWay(t *testing.T) {
	started := func() *exec.Cmd {
		cmd := exec.Command(program, "up", "--name", short)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		until(t, "an API server starts", func() error {
			if len(processes(t, "/"+short+"/cluster1/kube-apiserver.crt")) == 0 {
				return errors.New(out.String())
			}
			return nil
		})
		return cmd
	}

	killed := started()
	kill(t, killed, syscall.SIGKILL)
	_ = killed.Wait() // it was killed
	if len(processes(t, "/"+short+"/")) == 0 {
		t.Fatal("nothing runs after the kill: the test shows nothing")
	}
	// Nor is the lab's folder needed.
	if err := os.Remove(filepath.Join("/var/lib/isthmus/lab", short, "lab.json")); err != nil {
		t.Fatal(err)
	}
	lab(t, "down", "--name", short)
	checkGone(t, short)

	interrupted := started()
	kill(t, interrupted, syscall.SIGINT)
	if err := interrupted.Wait(); err == nil || interrupted.ProcessState.ExitCode() != 130 {
		t.Errorf("interrupted up: %v; want exit code 130", err)
	}
	checkGone(t, short)

	if testing.Short() {
		t.Log("short: that a lab which was left half made is made anew is not tried")
		return
	}
	kill(t, started(), syscall.SIGKILL)
	if out := lab(t, "up", "--name", short, "--clusters", "1"); !strings.Contains(out, "half made") {
		t.Errorf("up of a lab that was left half made: %s", out)
	}
	lab(t, "down", "--name", short)
	checkGone(t, short)
}
