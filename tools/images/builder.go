package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/images"
)

// builder gets the files that images are made of.
type builder struct {
	root  string // of the repository
	work  string // folder for what is compiled or fetched
	tag   string
	envoy string // empty means the pinned one
	store images.Store

	// compile builds a static program of this repository, given as a package, and returns its file.
	compile func(ctx context.Context, pkg string) (string, error)
}

func (b *builder) labels(title, description string) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       title,
		"org.opencontainers.image.description": description,
		"org.opencontainers.image.version":     b.tag,
		"org.opencontainers.image.source":      "https://github.com/isthmus-mesh/isthmus",
		"org.opencontainers.image.licenses":    "Apache-2.0",
	}
}

// goBuild is compile by the Go toolchain. It writes the same bytes wherever it runs.
func (b *builder) goBuild(ctx context.Context, pkg string) (string, error) {
	target := filepath.Join(b.work, strings.ReplaceAll(strings.TrimPrefix(pkg, "./"), "/", "-"))
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X github.com/isthmus-mesh/isthmus/internal/version.Version="+b.tag, "-o", target, pkg)
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return target, nil
}

// envoyBinary returns the Envoy to ship; the script that fetches it checks its sum.
func (b *builder) envoyBinary(ctx context.Context) (string, error) {
	if b.envoy != "" {
		return b.envoy, nil
	}
	return output(ctx, b.root, filepath.Join(b.root, "tools", "envoy", "fetch.sh"))
}

// busybox returns a static BusyBox: this machine's, else one unpacked from Debian's package, which needs no root.
func (b *builder) busybox(ctx context.Context) (string, error) {
	for _, path := range []string{"/bin/busybox", "/usr/bin/busybox"} {
		if files, err := images.Program(ctx, path, "/bin/busybox"); err == nil && len(files) == 1 {
			return path, nil
		}
	}
	dir := filepath.Join(b.work, "busybox")
	binary := filepath.Join(dir, "bin", "busybox")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if err := unpackDebian(ctx, dir, "busybox-static"); err != nil {
		return "", fmt.Errorf("no static busybox here; install the package busybox-static: %w", err)
	}
	for _, path := range []string{binary, filepath.Join(dir, "usr", "bin", "busybox")} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", errors.New("the package busybox-static holds no busybox")
}

// unpackDebian downloads a package by apt, which checks its signature, and unpacks it into dir.
func unpackDebian(ctx context.Context, dir, pkg string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if _, err := output(ctx, dir, "apt-get", "download", "-q", pkg); err != nil {
		// A fresh machine may not know its distribution's packages yet; learning them takes root.
		if _, updateErr := output(ctx, dir, "apt-get", "update", "-q"); updateErr != nil {
			return errors.Join(err, updateErr)
		}
		if _, err := output(ctx, dir, "apt-get", "download", "-q", pkg); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("apt-get download %s left %d packages", pkg, len(files))
	}
	_, err = output(ctx, dir, "dpkg-deb", "-x", files[0], dir)
	return err
}

// find returns where a program of this machine is.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("no %s here; install the package %s", program, program)
	}
	return filepath.EvalSymlinks(path)
}

// output runs a command in dir and returns its trimmed standard output; standard error is part of its failure.
func output(ctx context.Context, dir, program string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
