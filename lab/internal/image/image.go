// Package image makes container images from single static programs, and the lab's two own images of them. They are tarballs as `docker save`
// writes them, which containerd imports. Nothing is pulled or pushed.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// Image is a program and the name that its image shall have.
type Image struct {
	Ref     string
	Program string // a file on the host
}

// Write writes the image as a tarball to the file, which appears only when it is complete. The same program gives the same bytes.
func Write(image Image, file string) error {
	layer, err := layer(image.Program)
	if err != nil {
		return fmt.Errorf("make image %s: %w", image.Ref, err)
	}
	sum := sha256.Sum256(layer)
	configuration, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": []string{"/" + filepath.Base(image.Program)}},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])}},
	})
	if err != nil {
		return fmt.Errorf("make image %s: %w", image.Ref, err)
	}
	sum = sha256.Sum256(configuration)
	name := hex.EncodeToString(sum[:]) + ".json"
	manifest, err := json.Marshal([]map[string]any{{"Config": name, "RepoTags": []string{image.Ref}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return fmt.Errorf("make image %s: %w", image.Ref, err)
	}
	var tarball bytes.Buffer
	w := tar.NewWriter(&tarball)
	for _, part := range []struct {
		name string
		data []byte
	}{{name, configuration}, {"layer.tar", layer}, {"manifest.json", manifest}} {
		if err := add(w, part.name, 0o644, part.data); err != nil {
			return fmt.Errorf("make image %s: %w", image.Ref, err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("make image %s: %w", image.Ref, err)
	}
	return place(file, tarball.Bytes())
}

func layer(program string) ([]byte, error) {
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	if err := add(w, filepath.Base(program), 0o755, data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

func add(w *tar.Writer, name string, mode int64, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data)), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := io.Copy(w, bytes.NewReader(data))
	return err
}

// place writes the file in one step.
func place(file string, data []byte) error {
	work, err := os.CreateTemp(filepath.Dir(file), ".image-")
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	defer os.Remove(work.Name()) // fails once it was renamed
	if _, err := work.Write(data); err != nil {
		work.Close()
		return fmt.Errorf("write image: %w", err)
	}
	if err := work.Close(); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	if err := os.Rename(work.Name(), file); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	return nil
}
