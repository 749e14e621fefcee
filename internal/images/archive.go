package images

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// Annotations by which tools find an image's name in an index: the first is of the OCI, the second the one that containerd and
// Docker look at before it.
const (
	refAnnotation  = "org.opencontainers.image.ref.name"
	nameAnnotation = "io.containerd.image.name"
)

// ociLayout marks a folder or tarball as an image layout.
const ociLayout = `{"imageLayoutVersion":"1.0.0"}`

// writeArchive writes the image under its name as a tarball of an OCI image layout:
// https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md
func writeArchive(to io.Writer, ref name.Tag, image v1.Image) error {
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
		Platform:    config.Platform(),
		Annotations: map[string]string{refAnnotation: ref.Name(), nameAnnotation: ref.Name()},
	}})
	text, err := index.RawManifest()
	if err != nil {
		return err
	}
	archive := tar.NewWriter(to)
	for _, entry := range []struct{ name, text string }{{"oci-layout", ociLayout}, {"index.json", string(text)}} {
		if err := addBytes(archive, entry.name, []byte(entry.text)); err != nil {
			return err
		}
	}
	if err := addBlobs(archive, image); err != nil {
		return err
	}
	return archive.Close()
}

// addBlobs adds the image's manifest, its configuration and its layers, each under its digest.
func addBlobs(archive *tar.Writer, image v1.Image) error {
	manifest, err := image.Manifest()
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	text, err := image.RawManifest()
	if err != nil {
		return err
	}
	config, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	if err := errors.Join(addBytes(archive, blob(digest), text), addBytes(archive, blob(manifest.Config.Digest), config)); err != nil {
		return err
	}
	added := map[v1.Hash]bool{}
	for _, layer := range manifest.Layers {
		if added[layer.Digest] {
			continue
		}
		added[layer.Digest] = true
		if err := addLayer(archive, image, layer); err != nil {
			return err
		}
	}
	return nil
}

func addLayer(archive *tar.Writer, image v1.Image, descriptor v1.Descriptor) error {
	layer, err := image.LayerByDigest(descriptor.Digest)
	if err != nil {
		return err
	}
	from, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer from.Close()
	return add(archive, blob(descriptor.Digest), descriptor.Size, from)
}

func blob(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }

func addBytes(archive *tar.Writer, name string, data []byte) error {
	return add(archive, name, int64(len(data)), bytes.NewReader(data))
}

func add(archive *tar.Writer, name string, size int64, from io.Reader) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Format: tar.FormatPAX, Name: name, Mode: 0o644, Size: size, ModTime: epoch}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(archive, from)
	return err
}

// openArchive unpacks a tarball of writeArchive into dir and returns its image, which reads from there.
func openArchive(file, dir string) (v1.Image, error) {
	if err := unpack(file, dir); err != nil {
		return nil, err
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("%d images in it, want one", len(manifest.Manifests))
	}
	return index.Image(manifest.Manifests[0].Digest)
}

func unpack(file, dir string) error {
	from, err := os.Open(file)
	if err != nil {
		return err
	}
	defer from.Close()
	for archive := tar.NewReader(from); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !filepath.IsLocal(header.Name) {
			return fmt.Errorf("%q leads out of the archive", header.Name)
		}
		write := func(to io.Writer) error { _, err := io.Copy(to, archive); return err }
		if err := writeFile(filepath.Join(dir, header.Name), write); err != nil {
			return err
		}
	}
}
