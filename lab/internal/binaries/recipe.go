// Package binaries builds the programs that a lab runs from their Go modules, once, into a cache. Commands use it before anything else.
// It never installs anything and never touches a running lab.
package binaries

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"path"
	"strings"

	"golang.org/x/tools/txtar"

	sources "github.com/isthmus-mesh/isthmus/lab/binaries"
)

// Recipe says how the programs of one Go module are made.
type Recipe struct {
	Name    string
	Module  string // the module whose version counts
	Version string // what go.mod of the recipe requires; a test holds the two together
	Program []Program
	Tags    string
	LDFlags string
	// Cgo programs need a C compiler and run on hosts that have the same C library; the others run in images too.
	Cgo bool
	// Links are further names of the first program, which tells by its name what it is to be.
	Links []string
}

// Program is one main package and the name of its binary.
type Program struct {
	Name, Package string
}

// These are the versions of everything that a lab runs. To change one: change it here and in lab/binaries/NAME/go.mod, run `go mod tidy`
// there and `go test ./binaries -update`.
const (
	kubernetesVersion = "v1.36.3"
	etcdVersion       = "v3.6.16"
	containerdVersion = "v2.4.2"
	runcVersion       = "v1.5.2"
	cniVersion        = "v1.9.1"
	coreDNSVersion    = "v1.15.0"
)

// Recipes are the programs of a lab, the one that takes longest first.
func Recipes() []Recipe {
	const containerd, cni = "github.com/containerd/containerd/v2", "github.com/containernetworking/plugins"
	return []Recipe{
		{
			Name: "kubernetes", Module: "k8s.io/kubernetes", Version: kubernetesVersion,
			Program: []Program{{"kubernetes", "."}},
			LDFlags: kubernetesVersionFlags(kubernetesVersion),
			Cgo:     true,
			Links: []string{
				"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl",
			},
		},
		{
			Name: "etcd", Module: "go.etcd.io/etcd/server/v3", Version: etcdVersion,
			Program: []Program{{"etcd", "."}},
		},
		{
			Name: "containerd", Module: containerd, Version: containerdVersion,
			Program: []Program{
				{"containerd", containerd + "/cmd/containerd"},
				{"containerd-shim-runc-v2", containerd + "/cmd/containerd-shim-runc-v2"},
				{"ctr", containerd + "/cmd/ctr"},
			},
			Tags:    "no_btrfs,no_devmapper,no_zfs",
			LDFlags: "-X " + containerd + "/version.Version=" + containerdVersion,
		},
		{
			// Without seccomp every pod fails: "config provided but seccomp not supported".
			Name: "runc", Module: "github.com/opencontainers/runc", Version: runcVersion,
			Program: []Program{{"runc", "github.com/opencontainers/runc"}},
			Tags:    "seccomp",
			Cgo:     true,
		},
		{
			Name: "cni", Module: cni, Version: cniVersion,
			Program: []Program{
				{"ptp", cni + "/plugins/main/ptp"},
				{"loopback", cni + "/plugins/main/loopback"},
				{"host-local", cni + "/plugins/ipam/host-local"},
				{"portmap", cni + "/plugins/meta/portmap"},
			},
		},
		{
			Name: "coredns", Module: "github.com/coredns/coredns", Version: coreDNSVersion,
			Program: []Program{{"coredns", "."}},
		},
		{Name: "pause", Version: "v1", Program: []Program{{"pause", "."}}},
	}
}

// kubernetesVersionFlags give the components their version; without them nodes show v0.0.0-master.
func kubernetesVersionFlags(version string) string {
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags, fmt.Sprintf("-X %s.gitVersion=%s", pkg, version),
			fmt.Sprintf("-X %s.gitMajor=%s", pkg, parts[0]), fmt.Sprintf("-X %s.gitMinor=%s", pkg, parts[1]))
	}
	return strings.Join(flags, " ")
}

// Key names the result of a recipe: the same key, the same binaries. platform is the Go release and what it builds for.
func (r Recipe) Key(platform string) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%s\n%s\n%s\n%v\n%v\n%v\n", platform, r.Version, r.Tags, r.LDFlags, r.Cgo, r.Program, r.Links)
	for _, file := range r.sources() {
		fmt.Fprintf(sum, "%s %d\n%s", file.Name, len(file.Data), file.Data)
	}
	return fmt.Sprintf("%s-%s-%x", r.Name, r.Version, sum.Sum(nil)[:6])
}

// sources are the files of the recipe's own small module, named within it.
func (r Recipe) sources() []txtar.File {
	var files []txtar.File
	for _, file := range txtar.Parse(sources.Archive).Files {
		if dir, name := path.Split(file.Name); dir == r.Name+"/" {
			files = append(files, txtar.File{Name: name, Data: bytes.Clone(file.Data)})
		}
	}
	return files
}

// arguments are those of the go command that builds a program of the recipe to the file out.
func (r Recipe) arguments(p Program, out string) []string {
	arguments := []string{"build", "-trimpath", "-mod=readonly", "-buildvcs=false", "-o", out}
	if r.Tags != "" {
		arguments = append(arguments, "-tags", r.Tags)
	}
	return append(arguments, "-ldflags", strings.TrimSpace("-s -w "+r.LDFlags), p.Package)
}
