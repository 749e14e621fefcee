package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/isthmus-mesh/isthmus/lab/internal/addons"
	"github.com/isthmus-mesh/isthmus/lab/internal/cgroup"
	"github.com/isthmus-mesh/isthmus/lab/internal/config"
	"github.com/isthmus-mesh/isthmus/lab/internal/image"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

// BaseImages returns the tarballs of the images that every node needs, and makes them if they are not beside the programs.
func BaseImages(bin string) ([]string, error) {
	var files []string
	for program, ref := range map[string]string{"pause": config.PauseImage, "coredns": addons.CoreDNSImage} {
		file := filepath.Join(bin, program+".image.tar")
		if _, err := os.Stat(file); err != nil {
			if err := image.Write(image.Image{Ref: ref, Program: filepath.Join(bin, program)}, file); err != nil {
				return nil, err
			}
		}
		files = append(files, file)
	}
	return files, nil
}

// importImages loads tarballs into the containerd of the node whose supervisor has the process id.
func importImages(ctx context.Context, bin string, supervisor int, files []string) error {
	// The socket is in the node's mount namespace, which can be reached through its first process.
	socket := filepath.Join("/proc", fmt.Sprint(supervisor), "root", config.ContainerdSocket)
	ctr := func(args ...string) ([]byte, error) {
		return exec.CommandContext(ctx, filepath.Join(bin, "ctr"), append([]string{"--address", socket, "--namespace", "k8s.io"}, args...)...).
			CombinedOutput()
	}
	err := poll(ctx, func() bool {
		if _, err := os.Stat(socket); err != nil {
			return false
		}
		_, err := ctr("version")
		return err == nil
	})
	if err != nil {
		return fmt.Errorf("wait for containerd: %w", err)
	}
	for _, file := range files {
		if out, err := ctr("images", "import", "--local", file); err != nil {
			return fmt.Errorf("load image %s: %w: %s", file, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// LoadImages loads tarballs into all nodes of the lab, or of one of its clusters.
func LoadImages(ctx context.Context, store Store, name, cluster string, files []string) error {
	state, err := store.Load(name)
	if err != nil {
		return err
	}
	hierarchies, err := cgroup.Hierarchies()
	if err != nil {
		return err
	}
	clusters := state.Plan.Clusters
	if cluster != "" {
		c, err := state.Plan.Cluster(cluster)
		if err != nil {
			return err
		}
		clusters = []plan.Cluster{c}
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range clusters {
		for _, n := range c.Nodes {
			pid, err := Supervisor(hierarchies, name, n)
			if err != nil {
				return err
			}
			group.Go(func() error {
				if err := importImages(ctx, state.Bin, pid, files); err != nil {
					return fmt.Errorf("node %s: %w", n.Name, err)
				}
				return nil
			})
		}
	}
	return group.Wait()
}
