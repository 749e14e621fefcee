package install

import (
	"fmt"
	"io/fs"
	"slices"
	"sort"
	"strings"

	"github.com/isthmus-mesh/isthmus/api/operator"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// Input is what the user said.
type Input struct {
	// Files are laid over each other, later ones win.
	Files []Source
	// Set are assignments path=value, relative to spec; they win over files.
	Set []string
	// Namespace of the control plane when the files name none. Empty means istio-system.
	Namespace string
	// Profiles has the file NAME.yaml of each profile.
	Profiles fs.FS
	// ProfileFile reads a profile that is given by its path; nil refuses such a profile.
	ProfileFile func(path string) ([]byte, error)
}

// Plan is an installation with all its defaults filled in.
type Plan struct {
	Name      string // of the document; empty when it had none
	Profile   string
	Revision  string // empty is the default revision
	Namespace string // of the control plane
	Network   string // of the cluster; may be empty
	Spec      operator.Spec
	Values    operator.Values
	// Problems stop the installation unless it is forced.
	Problems []operator.Problem
	// Warnings never stop it.
	Warnings []operator.Problem
}

// Tag is the version of the images.
func (p Plan) Tag() string { return p.Spec.Tag }

// Resolve merges profile, files and --set, in this order, and checks the result. The error is for input that cannot be read at
// all; what is wrong with its content is in the plan's Problems, all of it at once.
func Resolve(in Input) (Plan, error) {
	merged, err := mergedDocument(in)
	if err != nil {
		return Plan{}, err
	}
	plan, problems := Plan{Profile: merged.profile}, merged.problems
	var typedDoc operator.IstioOperator
	// What is among the problems keeps its zero value; everything else is read.
	bad := operator.Check(merged.doc)
	if err := convert(drop(merged.doc, bad), &typedDoc); err != nil {
		return Plan{}, fmt.Errorf("could not unmarshal: %w", err)
	}
	// Those are trees for charts and istiod, which get all of it when it is forced.
	spec, _ := merged.doc["spec"].(map[string]any)
	typedDoc.Spec.Values, _ = spec["values"].(map[string]any)
	typedDoc.Spec.MeshConfig, _ = spec["meshConfig"].(map[string]any)
	plan.fill(typedDoc, in.Namespace)
	if err := plan.readValues(bad); err != nil {
		return Plan{}, fmt.Errorf("could not unmarshal spec.values: %w", err)
	}
	typedDoc.Spec = plan.Spec
	problems = append(problems, sorted(typedDoc.Validate(plan.Values))...)
	plan.Problems = problems
	plan.Warnings = slices.Concat(merged.warnings, sorted(plan.Values.Global.MeshNetworkWarnings()))
	return plan, nil
}

// mergedInput is the profile with all that the user said over it.
type mergedInput struct {
	doc                map[string]any
	profile            string
	problems, warnings []operator.Problem
}

// check looks at one source by itself, so that what is said about it names it.
func (m *mergedInput) check(source string, tree map[string]any) {
	m.problems = append(m.problems, from(source, operator.Check(tree))...)
	m.warnings = append(m.warnings, from(source, operator.NoEffect(tree))...)
}

// mergedDocument lays files and --set over the profile that they name. The whole is checked once more for what only shows in it.
func mergedDocument(in Input) (mergedInput, error) {
	var out mergedInput
	user := map[string]any{}
	for _, src := range in.Files {
		tree, err := parse(src)
		if err != nil {
			return out, err
		}
		out.check(src.Name, tree)
		user = merge(user, tree, "")
	}
	chosen := user
	var err error
	for _, assignment := range in.Set {
		if strings.HasPrefix(assignment, "profile=") {
			if chosen, err = setPath(chosen, assignment); err != nil {
				return out, err
			}
		}
	}
	out.profile = profileName(chosen)
	if out.doc, err = profileDocument(in, out.profile); err != nil {
		return out, err
	}
	out.doc = merge(out.doc, user, "")
	for _, assignment := range in.Set {
		if alone, err := setPath(map[string]any{}, assignment); err == nil {
			out.check("--set "+assignment, alone)
		}
		if out.doc, err = setPath(out.doc, assignment); err != nil {
			return out, err
		}
	}
	if len(out.problems) == 0 {
		out.problems = operator.Check(out.doc)
	}
	return out, nil
}

func from(source string, problems []operator.Problem) []operator.Problem {
	for i := range problems {
		problems[i].Source = source
	}
	return problems
}

func sorted(problems []operator.Problem) []operator.Problem {
	sort.Slice(problems, func(i, j int) bool { return problems[i].Path < problems[j].Path })
	return problems
}

func profileName(doc map[string]any) string {
	spec, _ := doc["spec"].(map[string]any)
	if name, ok := spec["profile"].(string); ok && name != "" {
		return name
	}
	return "default"
}

// profileDocument is the default profile with the chosen one over it. Profiles that the upstream project has and this one
// does not are refused by name, since silently taking another would install something else.
func profileDocument(in Input, name string) (map[string]any, error) {
	base, err := profileTree(in, "default")
	if err != nil || name == "default" {
		return base, err
	}
	over, err := profileTree(in, name)
	if err != nil {
		return nil, err
	}
	return merge(base, over, ""), nil
}

func profileTree(in Input, name string) (map[string]any, error) {
	if strings.ContainsAny(name, `/\`) || strings.HasSuffix(name, ".yaml") {
		if in.ProfileFile == nil {
			return nil, fmt.Errorf("profile %s: a path cannot be read here", name)
		}
		data, err := in.ProfileFile(name)
		if err != nil {
			return nil, fmt.Errorf("profile %s: %w", name, err)
		}
		return parse(Source{Name: name, Data: data})
	}
	data, err := fs.ReadFile(in.Profiles, name+".yaml")
	if err == nil {
		return parse(Source{Name: "profile " + name, Data: data})
	}
	switch name {
	case "remote", "external":
		return nil, fmt.Errorf("profile %s is not yet supported: this version installs a control plane in every cluster", name)
	case "ambient", "openshift", "openshift-ambient", "preview", "stable":
		return nil, fmt.Errorf("profile %s is not supported; there are %s", name, profileNames(in.Profiles))
	}
	return nil, fmt.Errorf("profile %q is not known; there are %s", name, profileNames(in.Profiles))
}

func profileNames(profiles fs.FS) string {
	files, _ := fs.Glob(profiles, "*.yaml")
	for i := range files {
		files[i] = strings.TrimSuffix(files[i], ".yaml")
	}
	return strings.Join(files, ", ")
}

// fill sets what the document left open.
func (p *Plan) fill(doc operator.IstioOperator, namespace string) {
	p.Name, p.Spec = doc.Metadata.Name, doc.Spec
	p.Spec.Profile = p.Profile
	p.Revision = p.Spec.Revision
	if p.Spec.Hub == "" {
		p.Spec.Hub = version.Hub
	}
	if p.Spec.Tag == "" {
		p.Spec.Tag = version.Version
	}
	global, _ := p.Spec.Values["global"].(map[string]any)
	istioNamespace, _ := global["istioNamespace"].(string)
	for _, candidate := range []string{p.Spec.Namespace, istioNamespace, namespace, "istio-system"} {
		if p.Namespace == "" {
			p.Namespace = candidate
		}
	}
	p.Spec.Namespace = p.Namespace
}

// readValues merges the values that apply to all charts and reads them into their types.
func (p *Plan) readValues(bad []operator.Problem) error {
	shared := map[string]any{"global": map[string]any{
		"hub": p.Spec.Hub, "tag": p.Spec.Tag, "istioNamespace": p.Namespace,
	}}
	values := merge(shared, p.Spec.Values, "")
	values = merge(values, p.Spec.UnvalidatedValues, "")
	if p.Revision == "" {
		p.Revision, _ = values["revision"].(string)
		p.Spec.Revision = p.Revision
	}
	values["revision"] = p.Revision
	values["global"].(map[string]any)["istioNamespace"] = p.Namespace
	if p.Spec.MeshConfig != nil {
		below, _ := values["meshConfig"].(map[string]any)
		values["meshConfig"] = merge(below, p.Spec.MeshConfig, "")
	}
	p.Spec.Values = numbers(values).(map[string]any)
	readable := drop(map[string]any{"spec": map[string]any{"values": values}}, bad)["spec"].(map[string]any)["values"]
	if err := convert(readable, &p.Values); err != nil {
		return err
	}
	p.Network = p.Values.Global.Network
	return nil
}
