//go:build lab

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Guide 4 as its readers have it, and then what the mesh that it makes must stand.
func TestGuide4(t *testing.T) {
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
	report := l.verify(t)
	if !strings.Contains(report, "network2") {
		t.Error("verify does not say that cluster2's gateway names a network that no pod is on")
	}
	t.Run("again", func(t *testing.T) { again(t, l) })
	t.Run("availability", func(t *testing.T) { availability(t, l, workloadsMove) })
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

// The page of our own that the demo runs, on clusters that nothing has touched.
func TestPageMultiPrimary(t *testing.T) {
	l := newLab(t, "page")
	l.page(t, filepath.Join(repository(t), "docs", "install", "multi-primary.md"))
	l.bothVersions(t)
	t.Run("freshness", func(t *testing.T) { freshness(t, l) })
	t.Run("availability", func(t *testing.T) { availability(t, l, certificatesMove) })
	t.Run("protocols", func(t *testing.T) { protocols(t, l) })
	t.Run("verify names causes", func(t *testing.T) { reds(t, l) })
}
