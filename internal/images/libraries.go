package images

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// Program returns a program of this machine under the path that it shall have in the image, and the shared libraries that it
// needs under the paths at which the dynamic loader looks for them. A static program needs none.
func Program(ctx context.Context, source, path string) ([]File, error) {
	libraries, err := sharedLibraries(ctx, source)
	if err != nil {
		return nil, err
	}
	files := []File{{Path: path, Mode: 0o755, Source: source}}
	for _, library := range libraries {
		files = append(files, File{Path: library, Mode: 0o755, Source: library})
	}
	return files, nil
}

// Merge joins lists of files and drops those that come twice from the same source, as libraries of several programs do.
func Merge(lists ...[]File) []File {
	var all []File
	for _, file := range slices.Concat(lists...) {
		same := func(f File) bool { return f.Path == file.Path && f.Source == file.Source && f.Source != "" }
		if !slices.ContainsFunc(all, same) {
			all = append(all, file)
		}
	}
	return all
}

// loaded matches a line of ldd: "libm.so.6 => /lib/libm.so.6 (0x…)" or "/lib64/ld-linux.so.2 (0x…)".
var loaded = regexp.MustCompile(`(?:=>|^)\s*(/\S+) \(0x`)

// sharedLibraries asks the dynamic loader, by ldd, what it would load for the program.
func sharedLibraries(ctx context.Context, program string) ([]string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "ldd", program)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
	err := cmd.Run()
	output := stdout.String() + stderr.String()
	if strings.Contains(output, "not a dynamic executable") || strings.Contains(output, "statically linked") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w: %s", program, err, strings.TrimSpace(output))
	}
	var libraries []string
	for line := range strings.Lines(stdout.String()) {
		line = strings.TrimSpace(line)
		if strings.Contains(line, "not found") {
			return nil, fmt.Errorf("ldd %s: %s", program, line)
		}
		if match := loaded.FindStringSubmatch(line); match != nil {
			libraries = append(libraries, match[1])
		}
	}
	slices.Sort(libraries)
	return slices.Compact(libraries), nil
}
