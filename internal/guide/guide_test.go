package guide

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		form Form
		page string
		want []Command
	}{
		{
			name: "source blocks: continued lines, here documents, sample paths, output", form: Source,
			page: "text\n{{< text bash >}}\n$ cat <<EOF > a.yaml\na: 1\nEOF\n{{< /text >}}\n" +
				"{{< text bash >}}\n$ @samples/gen.sh@ \\\n    --mesh m | \\\n    apply -f -\n{{< /text >}}\n" +
				"{{< text bash >}}\n$ kubectl get pod\nNAME   READY\nx      1/1\n{{< /text >}}\n{{< text yaml >}}\na: 1\n{{< /text >}}\n",
			want: []Command{
				{Line: 3, Text: "cat <<EOF > a.yaml\na: 1\nEOF"},
				{Line: 8, Text: "samples/gen.sh \\\n    --mesh m | \\\n    apply -f -"},
				{Line: 13, Text: "kubectl get pod", Output: "NAME   READY\nx      1/1"},
			},
		},
		{
			name: "a block in a list", form: Source,
			page: "1. do\n\n    {{< text bash >}}\n    $ cat <<EOF> b\n    x: 1\n      y: 2\n    EOF\n    {{< /text >}}\n",
			want: []Command{{Line: 4, Text: "cat <<EOF> b\nx: 1\n  y: 2\nEOF"}},
		},
		{
			name: "fenced blocks without prompts are commands", form: Markdown,
			page: "```bash\nmake build\n```\n```yaml\na: 1\n```\n```console\n$ echo a\na\n```\n",
			want: []Command{{Line: 2, Text: "make build"}, {Line: 8, Text: "echo a", Output: "a"}},
		},
		{
			name: "a page as shown", form: Shown,
			page: "Run this:\n\n$ cat <<EOF> c\na: 1\nEOF\nThen\n$ kubectl get \\\n  pod\nNAME\n",
			want: []Command{{Line: 3, Text: "cat <<EOF> c\na: 1\nEOF"}, {Line: 7, Text: "kubectl get \\\n  pod"}},
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(tc.page, tc.form)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("commands (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRefusesWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"{{< text bash >}}\n$ a\n", "{{< text bash >}}\n$ cat <<EOF\nx\n{{< /text >}}\n"} {
		if got, err := Parse(page, Source); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", page, got)
		}
	}
}

func TestInsert(t *testing.T) {
	t.Parallel()
	got := Insert("a\n{{< boilerplate trust >}}\n{{< boilerplate next >}}\n", map[string]string{"trust": "T"})
	if want := "a\nT\n{{< boilerplate next >}}\n"; got != want {
		t.Errorf("Insert = %q, want %q", got, want)
	}
}

func TestSameShape(t *testing.T) {
	t.Parallel()
	const service = "NAME                    TYPE           CLUSTER-IP    EXTERNAL-IP    PORT(S)   AGE\n" +
		"istio-eastwestgateway   LoadBalancer   10.80.6.124   34.75.71.237   ...       51s\n"
	cases := []struct {
		name, want, got string
		ok              bool
	}{
		{"other values", service, strings.ReplaceAll(service, "34.75.71.237", "172.31.0.1  "), true},
		{"pending", service, strings.ReplaceAll(service, "34.75.71.237", "<pending>   "), false},
		{"another service", service, strings.ReplaceAll(service, "istio-eastwestgateway", "istio-ingressgateway "), false},
		{"other headings", service, strings.ReplaceAll(service, "EXTERNAL-IP", "EXTERNAL   "), false},
		{"nothing", service, "", false},
		{
			"pods with generated names", "NAME                    READY   STATUS\nistiod-5b8d7c8f4c-abcde   1/1     Running\n",
			"NAME                     READY   STATUS\nistiod-7766554433-zzzzz  1/1     Running\nother-1 1/1 Running\n", true,
		},
		{
			"pods that are not ready", "NAME                    READY   STATUS\nistiod-5b8d7c8f4c-abcde   1/1     Running\n",
			"NAME                     READY   STATUS\nistiod-7766554433-zzzzz  0/1     Running\n", false,
		},
		{"lines", "secret/a created", "secret/a created\n", true},
		{"other lines", "secret/a created", "secret/b created\n", false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if err := SameShape(tc.want, tc.got); (err == nil) != tc.ok {
				t.Errorf("SameShape = %v, want ok %t", err, tc.ok)
			}
		})
	}
}

func TestRunKeepsOneShellsState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r := &Runner{Dir: dir, Env: os.Environ(), Answer: "y", Out: &out}
	err := r.Run(t.Context(), []Command{
		{Text: "export WHO='a b'; cd sub"},
		{Text: "read answer; echo \"$WHO $answer\" > said"},
		{Text: "cat said", Output: "a b y"},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "sub", "said")); err != nil {
		t.Error(err)
	}
}

func TestRunEndsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := &Runner{Dir: dir, Env: os.Environ()}
	err := r.Run(t.Context(), []Command{{Line: 7, Text: "echo why >&2; exit 3"}, {Text: "touch reached"}})
	if err == nil || !strings.Contains(err.Error(), "line 7") || !strings.Contains(err.Error(), "why") {
		t.Errorf("Run = %v, want the line and the reason", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "reached")); err == nil {
		t.Error("a command ran after one that failed")
	}
}

func TestRunCountsEveryLineAndEverySideOfAPipe(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, page string
		ok         bool
	}{
		{"the left side of a pipe fails", "```console\n$ false | cat\n```\n", false},
		{"so over two lines", "```console\n$ cat <<EOF | false | \\\n    cat\nx\nEOF\n```\n", false},
		{"a line of a block without prompts fails", "```bash\nfalse\ntrue\n```\n", false},
		{"the last one fails", "```bash\ntrue\nfalse\n```\n", false},
		{"a failure that the page expects", "```bash\nfalse || true\nif false; then true; fi\n! false\n```\n", true},
		{"here documents and pipes", "```console\n$ cat <<EOF > a.yaml\na: 1\nEOF\n$ cat a.yaml | grep a | cat -\na: 1\n```\n", true},
		{"a here document into a pipe", "```bash\ncat <<'EOF' | cat > b\n$HOME\nEOF\ngrep HOME b\n```\n", true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			commands, err := Parse(tc.page, Markdown)
			if err != nil {
				t.Fatal(err)
			}
			r := &Runner{Dir: t.TempDir(), Env: os.Environ()}
			if err := r.Run(t.Context(), commands); (err == nil) != tc.ok {
				t.Errorf("Run = %v, want ok %t", err, tc.ok)
			}
		})
	}
}

// The guides that the project exists for, where they are at hand.
func TestGuidesParse(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("GUIDES")
	if folder == "" {
		t.Log("GUIDES is not set: the guides themselves are not read")
		return
	}
	for name, want := range map[string]int{
		"1-initial-configuration.md": 6, "2-add-primary-cluster.md": 9, "2-add-primary-cluster-older.txt": 9,
		"3-add-remote-cluster.md": 9, "4-install-multi-primary.md": 11,
	} {
		commands, err := Load(filepath.Join(folder, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(commands) < want {
			t.Errorf("%s has %d commands, want at least %d", name, len(commands), want)
		}
	}
}
