package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/kube"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// versions is the answer of the command; its JSON has the shape that scripts know from istioctl.
type versions struct {
	Client       build          `json:"clientVersion"`
	ControlPlane []meshVersion  `json:"meshVersion,omitempty"`
	DataPlane    []proxyVersion `json:"dataPlaneVersion,omitempty"`
	// notes are what could not be found out; for standard error.
	notes []string
	// asked reports whether a control plane was there to be asked for its proxies.
	asked bool
}

type build struct {
	Version   string `json:"version"`
	GoVersion string `json:"golang_version,omitempty"`
}

type meshVersion struct {
	Component string `json:"Component"`
	ID        string `json:"ID"`
	Revision  string `json:"Revision"`
	Info      build  `json:"Info"`
}

type proxyVersion struct {
	ID      string `json:"ID"`
	Version string `json:"IstioVersion"`
}

// versionFlags are the flags of version.
type versionFlags struct {
	output   string
	revision string
	short    bool
	remote   bool
}

func newVersionCommand(g *globals) *cobra.Command {
	f := &versionFlags{}
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of client, control plane and proxies",
		Example: `  isthmus version --context="${CTX_CLUSTER1}"`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains([]string{"", "json", "yaml"}, f.output) {
				return usageError(fmt.Errorf("--output %q: use json or yaml", f.output))
			}
			v := versions{Client: build{Version: version.Version, GoVersion: runtime.Version()}}
			if f.remote && g.context != "" {
				if _, err := kube.Config(g.access()); err != nil {
					return err // a cluster that was named and is not there is no matter for a note
				}
			}
			if f.remote {
				v.askCluster(cmd.Context(), g, f.revision)
			}
			for _, note := range v.notes {
				_, _ = fmt.Fprintln(g.Err, note)
			}
			return v.print(g.Out, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.output, "output", "o", "", "json or yaml")
	completeOutput(cmd, "json", "yaml")
	flags.BoolVarP(&f.short, "short", "s", true, "one line a version; --short=false lists every pod")
	flags.BoolVar(&f.remote, "remote", true, "ask the cluster too")
	flags.StringVarP(&f.revision, "revision", "r", "", "only this revision of the control plane")
	return cmd
}

// askCluster fills in what the cluster runs. That it cannot be asked is a note, not an error: the client's version is known.
func (v *versions) askCluster(ctx context.Context, g *globals, revision string) {
	client, err := g.connect(ctx)
	if err != nil {
		v.notes = append(v.notes, fmt.Sprintf("The cluster was not asked: %v", err))
		return
	}
	pods, err := client.ControlPlanes(ctx, g.istioNamespace, revision)
	if err != nil {
		v.notes = append(v.notes, err.Error())
		return
	}
	if len(pods) == 0 {
		v.notes = append(v.notes, fmt.Sprintf("Istio is not present in the cluster: no running istiod pods in namespace %q", g.istioNamespace))
		return
	}
	for _, pod := range pods {
		v.askPod(ctx, client, g.istioNamespace, pod)
	}
	slices.SortFunc(v.DataPlane, func(a, b proxyVersion) int { return strings.Compare(a.ID, b.ID) })
}

// askPod asks one istiod for its own version and those of its proxies.
func (v *versions) askPod(ctx context.Context, client *kube.Client, namespace string, pod kube.ControlPlane) {
	own := meshVersion{Component: "pilot", ID: pod.Pod, Revision: pod.Revision, Info: build{Version: pod.ImageTag}}
	if text, err := client.GetFromPod(ctx, namespace, pod.Pod, 15014, "/version"); err == nil {
		own.Info.Version = release(strings.TrimSpace(string(text)))
	}
	v.ControlPlane = append(v.ControlPlane, own)
	text, err := client.GetFromPod(ctx, namespace, pod.Pod, 15014, "/debug/syncz")
	if err != nil {
		v.notes = append(v.notes, fmt.Sprintf("The proxies of %s are unknown: %v", pod.Pod, err))
		return
	}
	var proxies []struct {
		Proxy   string `json:"proxy"`
		Version string `json:"istio_version"`
	}
	if err := json.Unmarshal(text, &proxies); err != nil {
		v.notes = append(v.notes, fmt.Sprintf("The proxies of %s are unknown: %v", pod.Pod, err))
		return
	}
	v.asked = true
	for _, p := range proxies {
		v.DataPlane = append(v.DataPlane, proxyVersion{ID: p.Proxy, Version: p.Version})
	}
}

// release takes the commit and the state of its work tree off what istiod says: VERSION-COMMIT-STATE.
func release(said string) string {
	parts := strings.Split(said, "-")
	if n := len(parts); n > 2 && slices.Contains([]string{"Clean", "Modified"}, parts[n-1]) {
		return strings.Join(parts[:n-2], "-")
	}
	return said
}

func (v *versions) print(out io.Writer, f *versionFlags) error {
	switch f.output {
	case "json":
		text, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, string(text))
		return err
	case "yaml":
		text, err := yaml.Marshal(v)
		if err != nil {
			return err
		}
		_, err = out.Write(text)
		return err
	}
	_, err := io.WriteString(out, v.text(f.short))
	return err
}

// text is the answer in lines.
func (v *versions) text(short bool) string {
	lines := []string{"client version: " + v.Client.Version}
	var control, data []string
	for _, c := range v.ControlPlane {
		control = append(control, c.Info.Version)
		if !short {
			lines = append(lines, fmt.Sprintf("control plane pod %s (revision %s): %s", c.ID, c.Revision, c.Info.Version))
		}
	}
	for _, p := range v.DataPlane {
		data = append(data, p.Version)
		if !short {
			lines = append(lines, fmt.Sprintf("proxy %s: %s", p.ID, p.Version))
		}
	}
	if len(control) > 0 {
		slices.Sort(control)
		lines = append(lines, "control plane version: "+strings.Join(slices.Compact(control), ", "))
	}
	if len(data) > 0 {
		lines = append(lines, "data plane version: "+tally(data))
	} else if v.asked {
		lines = append(lines, "data plane version: none")
	}
	return strings.Join(lines, "\n") + "\n"
}

// tally writes versions with how many proxies have each.
func tally(versions []string) string {
	counts := map[string]int{}
	for _, v := range versions {
		counts[v]++
	}
	var parts []string
	for v, n := range counts {
		parts = append(parts, fmt.Sprintf("%s (%s)", v, count(n, "proxy", "proxies")))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
