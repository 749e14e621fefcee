package cli_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/cli"
)

// offline runs the command line where there is no cluster.
func offline(t *testing.T, stdin string, args ...string) (stdout, failure string, exit int) {
	t.Helper()
	var out, errs bytes.Buffer
	root := cli.New("istioctl", cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	root.SetArgs(append([]string{"--kubeconfig", filepath.Join(t.TempDir(), "none")}, args...))
	err := root.ExecuteContext(t.Context())
	if err == nil {
		return out.String(), errs.String(), 0
	}
	exit = 1
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		exit = coded.ExitCode()
	}
	return out.String(), errs.String() + err.Error(), exit
}

func TestWhatTheUserGotWrongHasAnExitCode(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		stdin string
		args  []string
		exit  int
		want  string
	}{
		{"an unknown command", "", []string{"instal"}, 64, `unknown command "instal" for "istioctl"; did you mean "install"?`},
		{"an unknown subcommand", "", []string{"manifest", "aply"}, 64, `unknown command "aply" for "istioctl manifest"`},
		{"an unknown flag", "", []string{"install", "--nothing"}, 64, "unknown flag: --nothing"},
		{"a word too many", "", []string{"install", "cluster1.yaml"}, 64, `unexpected argument "cluster1.yaml"`},
		{"standard input before a file", "", []string{"manifest", "generate", "-f", "-", "-f", "b"}, 64, "-f - must be the last file"},
		{"a word too many for a pipe", "", []string{"create-remote-secret", "cluster1"}, 64, `unexpected argument "cluster1"`},
		{"uninstall of nothing", "", []string{"uninstall"}, 64, "--purge"},
		{"uninstall of everything and one", "", []string{"uninstall", "--purge", "-r", "a"}, 64, "--purge removes everything"},
		{"a missing file", "", []string{"manifest", "generate", "-f", "nowhere.yaml"}, 1, "open nowhere.yaml: no such file or directory"},
		{"no chart folder", "", []string{"manifest", "generate", "-d", "nowhere"}, 1, "--manifests nowhere"},
		{"no cluster", "", []string{"install", "-y"}, 1, "no such file or directory"},
		{"a bad revision", "", []string{"manifest", "generate", "-r", "A_b"}, 1, "invalid revision specified: A_b"},
		{"an error message on a pipe", "Must specify --network.\n", []string{"manifest", "generate", "-f", "-"}, 1, "standard input: is no document"},
		{"a format that version does not have", "", []string{"version", "-o", "xml"}, 64, "use json or yaml"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, failure, exit := offline(t, c.stdin, c.args...)
			if exit != c.exit || !strings.Contains(failure, c.want) {
				t.Errorf("exit %d with %q, want %d with %q", exit, failure, c.exit, c.want)
			}
		})
	}
}

const misspelt = `apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  profile: empty
  values:
    global: {netwrok: a}
  components:
    ingressGateways: [{name: mine, enabled: true}]
`

func TestFlagsOfOtherGenerationsAreTaken(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"install", "-w", "--verify", "--vklog=9", "--kubeclient-timeout=1s", "-y"},
		{"install", "--wait=false", "-y"},
		{"uninstall", "-v", "--purge"},
		{"install", "--as=someone", "--as-uid=1", "--as-group=a", "--as-group=b", "-y"},
	} {
		_, failure, exit := offline(t, "", args...)
		if exit != 1 || !strings.Contains(failure, "no such file or directory") { // the kubeconfig: the flags were fine
			t.Errorf("%v: exit %d, %s", args, exit, failure)
		}
	}
}

func TestForceTurnsProblemsIntoWarnings(t *testing.T) {
	t.Parallel()
	out, failure, exit := offline(t, misspelt, "manifest", "generate", "-f", "-")
	if exit != 1 || out != "" || !strings.Contains(failure, `standard input: spec.values.global.netwrok: unknown field; did you mean "network"?`) {
		t.Errorf("exit %d, output %q, errors %q", exit, out, failure)
	}
	out, failure, exit = offline(t, misspelt, "manifest", "generate", "--force", "-f", "-")
	if exit != 0 || !strings.Contains(out, "name: mine\n") || !strings.HasPrefix(failure, "Warning: standard input: spec.values.global.netwrok") {
		t.Errorf("exit %d, output %q, errors %q", exit, out, failure)
	}
}

func TestManifestsInAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "operator.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(misspelt, "netwrok", "network", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, failure, exit := offline(t, "", "manifest", "generate", "-f", file, "-o", dir); exit != 0 || out != "" {
		t.Fatalf("exit %d, output %q, errors %q", exit, out, failure)
	}
	text, err := os.ReadFile(filepath.Join(dir, "IngressGateways", "mine.yaml"))
	if err != nil || !strings.Contains(string(text), "kind: Deployment\n") {
		t.Errorf("%v: %.80q", err, text)
	}
}

func TestChartsFromAFolder(t *testing.T) {
	t.Parallel()
	out, failure, exit := offline(t, misspelt, "manifest", "generate", "--force", "-d", "../../charts", "-f", "-")
	builtIn, _, _ := offline(t, misspelt, "manifest", "generate", "--force", "-f", "-")
	if exit != 0 || out != builtIn {
		t.Errorf("exit %d, errors %q; the folder gives another manifest than the binary", exit, failure)
	}
}

func TestVersionNeedsNoCluster(t *testing.T) {
	t.Parallel()
	out, failure, exit := offline(t, "", "version")
	if exit != 0 || out != "client version: 0.1.0\n" || !strings.HasPrefix(failure, "The cluster was not asked: ") {
		t.Errorf("exit %d, output %q, errors %q", exit, out, failure)
	}
	out, failure, exit = offline(t, "", "version", "--remote=false", "-o", "json")
	if exit != 0 || failure != "" || !strings.Contains(out, `"clientVersion"`) {
		t.Errorf("exit %d, output %q, errors %q", exit, out, failure)
	}
}

func TestVersionFailsForAContextThatIsNotThere(t *testing.T) {
	t.Parallel()
	out, _, err := run(t, "version", "--context=typo", "--kubeconfig="+kubeconfigOf(t, "https://192.0.2.1"))
	if err == nil || !strings.Contains(err.Error(), `"typo"`) || out != "" {
		t.Errorf("output %q, error %v", out, err)
	}
}
