//go:build lab

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Guide 4 as its readers have it, and then what the mesh that it makes must stand.
func TestGuide4(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("GUIDES")
	if folder == "" {
		t.Log("GUIDES is not set: the documentation page of the same content is run in its place")
	}
	l := newLab(t, "guide4")
	if folder == "" {
		l.page(t, filepath.Join(repository(t), "docs", "install", "multi-primary.md"))
	} else {
		l.trust(t)
		l.page(t, filepath.Join(folder, "4-install-multi-primary.md"))
		l.samples(t)
	}
	l.bothVersions(t)
	if row := find(t, l.green(t), "gateway", "cluster2", ""); row.State != "note" || !strings.Contains(row.Reason, "network2") {
		t.Errorf("verify says of cluster2's gateway, which names a network that no pod is on: %s: %s", row.State, row.Reason)
	}
	t.Run("again", func(t *testing.T) { again(t, l) })
	t.Run("status", func(t *testing.T) { statusCommands(t, l) })
	t.Run("no shell", func(t *testing.T) { noShell(t, l) })
	t.Run("availability", func(t *testing.T) { availability(t, l, workloadsMove) })
	t.Run("uninstall", func(t *testing.T) { uninstalled(t, l) })
}

// again installs once more what is installed: nothing changes, and no gateway goes.
func again(t *testing.T, l *lab) {
	const format = `-o=jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{"\n"}{end}`
	before := l.kubectl(t, "cluster1", "get", "pods", "-n", "istio-system", format)
	l.must(t, "istioctl", "install", "-y", "--context=cluster1", "-f", "cluster1.yaml")
	if after := l.kubectl(t, "cluster1", "get", "pods", "-n", "istio-system", format); after != before {
		t.Errorf("installing again changed the pods:\n%s\nwere\n%s", after, before)
	}
}

// statusCommands asks a mesh at work by the commands that the demo recommends.
func statusCommands(t *testing.T, l *lab) {
	for i, c := range clusters {
		var remotes []struct{ ID, SyncStatus string }
		l.mustJSON(t, &remotes, "istioctl", "remote-clusters", "--context="+c, "-o", "json")
		synced := func(r struct{ ID, SyncStatus string }) bool { return r.ID == clusters[1-i] && r.SyncStatus == "synced" }
		if !slices.ContainsFunc(remotes, synced) {
			t.Errorf("%s: remote-clusters says %+v, want %s synced", c, remotes, clusters[1-i])
		}
		table := l.must(t, "istioctl", "proxy-status", "--context="+c)
		for _, pod := range []string{"sleep-", fmt.Sprintf("helloworld-v%d-", i+1), "istio-eastwestgateway-", "istio-ingressgateway-"} {
			if !strings.Contains(table, pod) {
				t.Errorf("%s: proxy-status has no line of %s:\n%s", c, pod, table)
			}
		}
		if text := l.must(t, "istioctl", "version", "--context="+c); !strings.Contains(text, "control plane version") || !strings.Contains(text, "data plane version") {
			t.Errorf("%s: version says\n%s", c, text)
		}
	}
}

// noShell: who gets into a pod of the mesh's own finds nothing there to run commands with.
func noShell(t *testing.T, l *lab) {
	for _, workload := range []string{"deploy/istiod", "deploy/istio-eastwestgateway"} {
		for _, shell := range []string{"sh", "bash", "/bin/sh", "busybox"} {
			out, err := l.run(t.Context(), "", "kubectl", "--context", "cluster1", "exec", "-n", "istio-system", workload, "--", shell, "-c", "exit 0")
			if err == nil || !strings.Contains(out, "executable file not found") && !strings.Contains(out, "no such file") {
				t.Errorf("%s in %s: %v\n%s", shell, workload, err, out)
			}
		}
	}
}

// uninstalled takes the mesh out of the first cluster: what people made themselves stays, and pods go on without it.
func uninstalled(t *testing.T, l *lab) {
	l.must(t, "istioctl", "uninstall", "--purge", "-y", "--context=cluster1")
	kept := l.kubectl(t, "cluster1", "get", "secrets", "-n", "istio-system", "-o=name")
	for _, secret := range []string{"secret/cacerts", "secret/istio-remote-secret-cluster2"} {
		if !strings.Contains(kept, secret) {
			t.Errorf("%s is gone; there are\n%s", secret, kept)
		}
	}
	left := l.kubectl(t, "cluster1", "get", "deployments,services,mutatingwebhookconfigurations,validatingwebhookconfigurations,clusterroles",
		"-A", "-o=name", "-l", "install.operator.istio.io/owning-resource")
	if left = strings.TrimSpace(left); left != "" {
		t.Errorf("uninstall leaves\n%s", left)
	}
	l.kubectl(t, "cluster1", "rollout", "restart", "-n", "sample", "deploy/sleep")
	l.rollout(t, "cluster1", "deploy/sleep")
}

// The demo, which runs our own page on clusters that nothing has touched, and then what the mesh that it leaves must stand.
func TestDemo(t *testing.T) {
	t.Parallel()
	l := newDemo(t, "demotest")
	l.bothVersions(t)
	t.Run("freshness", func(t *testing.T) { freshness(t, l) })
	t.Run("protocols", func(t *testing.T) { protocols(t, l) })
	t.Run("verify names causes", func(t *testing.T) { reds(t, l) })
}
