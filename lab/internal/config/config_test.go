package config

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/lab/internal/pki"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

var places = Places{Lab: "/state/a", Bin: "/bin-v1", Self: "/isthmus-lab"}

func newLab(t *testing.T, clusters, nodes, networks int) plan.Lab {
	t.Helper()
	lab, err := plan.New(plan.Request{Name: "a", Clusters: clusters, Nodes: nodes, Networks: networks}, netip.MustParsePrefix("10.80.0.0/16"))
	if err != nil {
		t.Fatal(err)
	}
	return lab
}

func names(node Node) []string {
	var names []string
	for _, c := range node.Components {
		names = append(names, c.Name)
	}
	return names
}

func TestOnlyTheFirstNodeCarriesTheControlPlane(t *testing.T) {
	t.Parallel()
	lab := newLab(t, 1, 2, 1)
	c := lab.Clusters[0]
	first, second := names(ForNode(lab, c, c.Nodes[0], places)), names(ForNode(lab, c, c.Nodes[1], places))
	if want := []string{"containerd", "kubelet", "kube-proxy"}; !slices.Equal(second, want) {
		t.Errorf("second node runs %v, want %v", second, want)
	}
	for _, name := range append(first, "supervisor") {
		if !slices.Contains(Components(), name) {
			t.Errorf("the first node runs %s, which `logs` does not know", name)
		}
	}
	if len(first)+1 != len(Components()) {
		t.Errorf("the first node runs %v; `logs` knows %v", first, Components())
	}
}

// A tree of settings as it comes out of YAML.
type tree = map[string]any

func TestFilesAreWellFormed(t *testing.T) {
	t.Parallel()
	lab := newLab(t, 2, 1, 1)
	c := lab.Clusters[1]
	node := ForNode(lab, c, c.Nodes[0], places)
	var kubelet, proxy, cni tree
	for file, into := range map[string]*tree{"kubelet.yaml": &kubelet, "kube-proxy.yaml": &proxy, "cni/10-lab.conflist": &cni} {
		if err := yaml.UnmarshalStrict([]byte(node.Files["/state/a/c2n1/"+file]), into); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	if got := kubelet["cgroupRoot"]; got != "/isthmus-lab-a/c2n1" {
		t.Errorf("kubelet's cgroupRoot is %v", got)
	}
	if got := kubelet["authentication"].(tree)["anonymous"].(tree)["enabled"]; got != false {
		t.Errorf("kubelet takes anonymous calls: %v", got)
	}
	if got := kubelet["clusterDNS"].([]any)[0]; got != "10.80.176.10" {
		t.Errorf("kubelet's DNS is %v", got)
	}
	if got := proxy["clusterCIDR"]; got != "10.80.32.0/20" {
		t.Errorf("kube-proxy's cluster range is %v", got)
	}
}

func TestEveryFileThatIsReferredToIsMade(t *testing.T) {
	t.Parallel()
	lab := newLab(t, 1, 1, 1)
	c := lab.Clusters[0]
	made, err := pki.NewCluster(c, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	node := ForNode(lab, c, c.Nodes[0], places)
	texts := []string{}
	for _, component := range node.Components {
		texts = append(texts, component.Args...)
	}
	for _, text := range node.Files {
		texts = append(texts, strings.Fields(strings.NewReplacer(`"`, " ", "}", " ", "{", " ", ",", " ").Replace(text))...)
	}
	checked := 0
	for _, text := range texts {
		_, file, ok := strings.Cut(text, "/state/a/cluster1/")
		if !ok {
			continue
		}
		checked++
		name, suffix, _ := strings.Cut(file, ".")
		if _, ok := made.Pairs[name]; !ok || !slices.Contains([]string{"crt", "key", "kubeconfig"}, suffix) {
			t.Errorf("%s: there is no such file", text)
		}
	}
	if checked < 20 {
		t.Errorf("found only %d references", checked)
	}
}

func TestClustersOfOneNetworkAreNotKeptApart(t *testing.T) {
	t.Parallel()
	lab := newLab(t, 2, 1, 1)
	if script := Firewall(lab, lab.Clusters[0], lab.Clusters[0].Nodes[0]); strings.Contains(script, "saddr") {
		t.Errorf("a rule looks at sources:\n%s", script)
	}
}

func TestFirewallNamesTheOtherNetworksOnly(t *testing.T) {
	t.Parallel()
	lab := newLab(t, 3, 2, 2)
	c := lab.Clusters[0] // network1, with cluster3
	first, second := Firewall(lab, c, c.Nodes[0]), Firewall(lab, c, c.Nodes[1])
	for _, want := range []string{"10.80.32.0/20, 10.80.0.33, 10.80.0.34 }", "ip daddr 10.80.1.0/24 accept", "10.80.0.17 tcp dport 6443 accept"} {
		if !strings.Contains(first, want) {
			t.Errorf("no %q in\n%s", want, first)
		}
	}
	if strings.Contains(first, "10.80.48.0/20") {
		t.Errorf("cluster3 is in the same network and named in\n%s", first)
	}
	if strings.Contains(second, "6443") {
		t.Errorf("the second node has no API server, and lets calls to it through:\n%s", second)
	}
}

func TestFirewallIsAccepted(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft is not installed")
	}
	lab := newLab(t, 2, 2, 2)
	for _, n := range lab.Clusters[0].Nodes {
		check := func(script string) ([]byte, error) {
			cmd := exec.Command("nft", "--check", "-f", "-")
			cmd.Stdin = strings.NewReader(script)
			return cmd.CombinedOutput()
		}
		if out, err := check("add table ip probe"); err != nil {
			t.Skipf("nft needs privileges that this process has not: %s", out)
		}
		if out, err := check(Firewall(lab, lab.Clusters[0], n)); err != nil {
			t.Errorf("%s: %v\n%s", n.Name, err, out)
		}
	}
}

func TestNodesHaveRoutesToAllOthersAndNoneOut(t *testing.T) {
	t.Parallel()
	lab := newLab(t, 2, 2, 1)
	c := lab.Clusters[0]
	got := ForNode(lab, c, c.Nodes[0], places).Routes
	want := []Route{
		{"10.80.18.0/24", "10.80.0.18"},
		{"10.80.33.0/24", "10.80.0.33"},
		{"10.80.34.0/24", "10.80.0.34"},
		{"10.80.2.0/24", "10.80.0.33"},
		{"10.80.168.0/21", ""},
		{"10.80.1.0/24", ""},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if host := HostRoutes(lab); len(host) != 6 {
		t.Errorf("the host has routes %v; want one to each node's pods and one to each cluster's LoadBalancer addresses", host)
	}
}

func TestKubeconfigHasAContextForEachCluster(t *testing.T) {
	t.Parallel()
	lab := newLab(t, 2, 1, 1)
	var accesses []Access
	for _, c := range lab.Clusters {
		made, err := pki.NewCluster(c, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		accesses = append(accesses, Access{Cluster: c, CA: made.CA.Cert, User: made.Pairs[pki.AdminPair]})
	}
	text, err := Kubeconfig(accesses...)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.Load(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := clientcmd.Validate(*config); err != nil {
		t.Error(err)
	}
	if config.CurrentContext != "cluster1" || config.Clusters["cluster2"].Server != "https://10.80.0.33:6443" {
		t.Errorf("got %+v", config)
	}
}
