//go:build lab

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// verdict is one row of `istioctl verify -o json`.
type verdict struct {
	Check, From, To, State, Reason, Fix string
}

// red is one way to break the mesh, and the row of verify that has to name it.
type red struct {
	name            string
	spoil           func(*testing.T, *lab)
	heal            func(*testing.T, *lab) // nil: the row's own fix is run
	check, from, to string
	cause           string
	also            []string // checks of the same pair that have to be red with it
}

// reds breaks one thing after the other. Each time verify has to say what it is; then the fix that it gives is typed in, where it
// is a command, and all is well again.
func reds(t *testing.T, l *lab) {
	for _, c := range []red{
		{"Secret gone", secretGone, nil, "remote Secret", "cluster1", "cluster2", "no remote Secret for cluster2", nil},
		{"token wrong", tokenWrong, nil, "credential", "cluster1", "cluster2", "token wrong", nil},
		{"link cut", cutLink, healLink, "mTLS request", "cluster1", "cluster2", "link cut", nil},
		{"pod not injected", notInjected, nil, "sample", "cluster2", "", "pod not injected", nil},
		{"control plane down", controlPlaneDown, nil, "control plane", "cluster2", "", "control plane down", nil},
		{"other root", otherRoot, sameRoot, "mTLS request", "cluster1", "cluster2", "other root", []string{"same root"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spoil(t, l)
			rows := l.verdicts(t, 1)
			row := find(t, rows, c.check, c.from, c.to)
			for _, check := range c.also {
				if r := find(t, rows, check, c.from, c.to); r.State != "fail" || r.Fix == "" {
					t.Errorf("row %s: %s: %s; want a failure with its fix", check, r.State, r.Reason)
				}
			}
			if row.State != "fail" || !strings.Contains(row.Reason, c.cause) {
				t.Errorf("row %s: %s: %s; want a failure with %q", c.check, row.State, row.Reason, c.cause)
			}
			if c.heal != nil {
				c.heal(t, l)
			} else if out, err := l.run(t.Context(), "", "sh", "-c", row.Fix); err != nil {
				t.Errorf("fix %q: %v\n%s", row.Fix, err, out)
			}
			settle(t, l)
			l.green(t)
		})
	}
}

// verdicts runs verify, which has to end with code.
func (l *lab) verdicts(t *testing.T, code int) []verdict {
	t.Helper()
	rows, err := l.tryVerify(t, code)
	if err != nil {
		t.Error(err)
	}
	return rows
}

// green runs verify until all checks pass: a mesh that has just been mended may need a while.
func (l *lab) green(t *testing.T) (rows []verdict) {
	t.Helper()
	eventually(t, 2*time.Minute, "verify passes", func() (err error) {
		rows, err = l.tryVerify(t, 0)
		return err
	})
	return rows
}

// tryVerify runs verify. That it ends with another code is an error.
func (l *lab) tryVerify(t *testing.T, code int) ([]verdict, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), l.find("istioctl"), "verify", "--contexts=cluster1,cluster2", "-o", "json")
	cmd.Env, cmd.Dir = l.env, l.dir
	var out, progress bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &progress
	err := cmd.Run()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	var report struct {
		OK     bool
		Checks []verdict
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("read what verify printed: %v\n%s%s", err, out.String(), progress.String())
	}
	got := cmd.ProcessState.ExitCode()
	if report.OK != (got == 0) {
		t.Errorf("verify ended with %d and says ok: %t", got, report.OK)
	}
	if got != code {
		return report.Checks, fmt.Errorf("verify ended with %d, want %d\n%s%s", got, code, out.String(), progress.String())
	}
	return report.Checks, nil
}

func find(t *testing.T, rows []verdict, check, from, to string) verdict {
	t.Helper()
	for _, r := range rows {
		if r.Check == check && r.From == from && r.To == to {
			return r
		}
	}
	t.Fatalf("verify has no row %s %s -> %s: %+v", check, from, to, rows)
	return verdict{}
}

// settle waits until workloads that were restarted are ready.
func settle(t *testing.T, l *lab) {
	t.Helper()
	for i, c := range clusters {
		l.kubectl(t, c, "rollout", "status", "-n", "istio-system", "deploy/istiod", "--timeout=120s")
		l.rollout(t, c, fmt.Sprintf("deploy/helloworld-v%d", i+1))
		l.rollout(t, c, "deploy/sleep")
	}
	l.bothVersions(t)
}

const secretOfCluster2 = "istio-remote-secret-cluster2"

func secretGone(t *testing.T, l *lab) {
	l.kubectl(t, "cluster1", "delete", "secret", "-n", "istio-system", secretOfCluster2)
}

var tokenLine = regexp.MustCompile(`token: .*`)

func tokenWrong(t *testing.T, l *lab) {
	text := l.kubectl(t, "cluster1", "get", "secret", "-n", "istio-system", secretOfCluster2, `-o=jsonpath={.data.cluster2}`)
	kubeconfig, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	wrong := tokenLine.ReplaceAll(kubeconfig, []byte("token: wrong"))
	patch := fmt.Sprintf(`{"data":{"cluster2":%q}}`, base64.StdEncoding.EncodeToString(wrong))
	l.kubectl(t, "cluster1", "patch", "secret", "-n", "istio-system", secretOfCluster2, "-p", patch)
}

// cutLink drops what the pods of one cluster send to those of the other and to its API server, and back.
func cutLink(t *testing.T, l *lab) {
	var status struct {
		Clusters []struct {
			PodCIDR string
			Nodes   []struct{ Address string }
		}
	}
	if err := json.Unmarshal([]byte(l.must(t, "isthmus-lab", "status", "--name", l.name, "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	here, there := status.Clusters[0], status.Clusters[1]
	far := fmt.Sprintf("{ %s, %s }", there.PodCIDR, there.Nodes[0].Address)
	l.must(t, "isthmus-lab", "exec", "--name", l.name, "--cluster", "cluster1", "--", "nft", "add table ip cut; "+
		"add chain ip cut between { type filter hook forward priority -10; }; "+
		fmt.Sprintf("add rule ip cut between ip saddr %s ip daddr %s drop; ", here.PodCIDR, far)+
		fmt.Sprintf("add rule ip cut between ip saddr %s ip daddr %s drop", far, here.PodCIDR))
}

func healLink(t *testing.T, l *lab) {
	l.must(t, "isthmus-lab", "exec", "--name", l.name, "--cluster", "cluster1", "--", "nft", "delete table ip cut")
}

func notInjected(t *testing.T, l *lab) {
	l.kubectl(t, "cluster2", "label", "namespace", "sample", "istio-injection-")
	l.kubectl(t, "cluster2", "rollout", "restart", "-n", "sample", "deploy/helloworld-v2")
	l.rollout(t, "cluster2", "deploy/helloworld-v2")
}

func controlPlaneDown(t *testing.T, l *lab) {
	l.kubectl(t, "cluster2", "scale", "-n", "istio-system", "deploy/istiod", "--replicas=0")
	l.kubectl(t, "cluster2", "wait", "-n", "istio-system", "--for=delete", "pod", "-l", "app=istiod", "--timeout=120s")
}

// otherRoot gives cluster2 an intermediate of a root that cluster1 does not know.
func otherRoot(t *testing.T, l *lab) {
	l.must(t, "istioctl", "cert", "intermediate", "cluster2", "--dir", "othercerts")
	l.replaceAuthority(t, "cluster2", filepath.Join("othercerts", "cluster2"))
}

func sameRoot(t *testing.T, l *lab) {
	l.replaceAuthority(t, "cluster2", filepath.Join("certs", "cluster2"))
	l.kubectl(t, "cluster2", "rollout", "restart", "-n", "sample", "deploy")
}

// replaceAuthority puts other files into the Secret cacerts of a cluster and restarts its control plane.
func (l *lab) replaceAuthority(t *testing.T, cluster, folder string) {
	t.Helper()
	data := map[string][]byte{}
	for _, file := range []string{"ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem"} {
		text, err := os.ReadFile(filepath.Join(l.dir, folder, file))
		if err != nil {
			t.Fatal(err)
		}
		data[file] = text
	}
	patch, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		t.Fatal(err)
	}
	l.kubectl(t, cluster, "patch", "secret", "-n", "istio-system", "cacerts", "-p", string(patch))
	l.kubectl(t, cluster, "rollout", "restart", "-n", "istio-system", "deploy/istiod")
	l.kubectl(t, cluster, "rollout", "status", "-n", "istio-system", "deploy/istiod", "--timeout=120s")
}
