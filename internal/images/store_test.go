package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// sample is a small image with a file of each kind.
func sample(program string) Image {
	return Image{
		Name: "sample",
		Layers: []Layer{
			{Name: "base", Files: []File{
				{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
				{Path: "/etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0::/:\n")},
			}},
			{Name: "program", Files: []File{
				{Path: "/usr/bin/program", Mode: 0o755, Source: program},
				{Path: "/usr/bin/alias", Link: "program"},
			}},
		},
		Entrypoint: []string{"/usr/bin/program"},
		User:       "1337",
		Env:        []string{"A=b"},
	}
}

// write puts a program into a new file.
func write(t *testing.T, body string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte(body), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

func save(t *testing.T, s Store, image Image) Saved {
	t.Helper()
	saved, err := s.Save(image)
	if err != nil {
		t.Fatal(err)
	}
	return saved
}

func store(t *testing.T) Store {
	return Store{Dir: t.TempDir(), Hub: "ghcr.io/isthmus-mesh", Tag: "1.2.3"}
}

func TestSaveMakesAnImageThatRuns(t *testing.T) {
	t.Parallel()
	saved := save(t, store(t), sample(write(t, "program")))
	image, err := openArchive(saved.Path, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(image); err != nil {
		t.Error(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "1337" || config.Config.Entrypoint[0] != "/usr/bin/program" || config.Config.WorkingDir != "/" {
		t.Errorf("config = %+v", config.Config)
	}
	sums := fmt.Sprintf("%x  /etc/passwd\n%x  /usr/bin/program\n", sha256.Sum256([]byte("root:x:0:0::/:\n")), sha256.Sum256([]byte("program")))
	if diff := cmp.Diff(sums, config.Config.Labels[SumsLabel]); diff != "" {
		t.Errorf("sums (-want +got):\n%s", diff)
	}
	want := []string{
		"etc drwxr-xr-x", "etc/passwd -rw-r--r--", "tmp dtrwxrwxrwx",
		"usr drwxr-xr-x", "usr/bin drwxr-xr-x", "usr/bin/alias Lrwxrwxrwx", "usr/bin/program -rwxr-xr-x",
	}
	var got []string
	for archive := tar.NewReader(mutate.Extract(image)); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		mode := header.FileInfo().Mode()
		if mode&fs.ModeSymlink != 0 {
			mode |= 0o777
		}
		got = append(got, header.Name+" "+mode.String())
	}
	if diff := cmp.Diff(toSet(want), toSet(got)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// What `ctr images import` and other tools look for in a tarball, by the text of the OCI's specification.
func TestSavedImagesAreOCILayouts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unpack(save(t, store(t), sample(write(t, "program"))).Path, dir); err != nil {
		t.Fatal(err)
	}
	var version struct{ ImageLayoutVersion string }
	readJSON(t, filepath.Join(dir, "oci-layout"), &version)
	if version.ImageLayoutVersion != "1.0.0" {
		t.Errorf("version of the layout: %q", version.ImageLayoutVersion)
	}
	var index v1.IndexManifest
	readJSON(t, filepath.Join(dir, "index.json"), &index)
	if len(index.Manifests) != 1 {
		t.Fatalf("%d images, want one", len(index.Manifests))
	}
	entry := index.Manifests[0]
	const ref = "ghcr.io/isthmus-mesh/sample:1.2.3"
	if diff := cmp.Diff(map[string]string{"org.opencontainers.image.ref.name": ref, "io.containerd.image.name": ref}, entry.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if entry.MediaType != types.OCIManifestSchema1 || entry.Platform == nil || entry.Platform.OS != "linux" || entry.Platform.Architecture != runtime.GOARCH {
		t.Errorf("manifest %s for %v", entry.MediaType, entry.Platform)
	}
	var manifest v1.Manifest
	readJSON(t, filepath.Join(dir, "blobs", "sha256", entry.Digest.Hex), &manifest)
	if manifest.MediaType != types.OCIManifestSchema1 || manifest.Config.MediaType != types.OCIConfigJSON || len(manifest.Layers) != 2 {
		t.Errorf("manifest %+v", manifest)
	}
	for _, layer := range manifest.Layers {
		if layer.MediaType != types.OCILayer {
			t.Errorf("a layer is %s", layer.MediaType)
		}
	}
	for _, descriptor := range append(manifest.Layers, entry, manifest.Config) {
		data, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", descriptor.Digest.Hex))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != descriptor.Digest.Hex || int64(len(data)) != descriptor.Size {
			t.Errorf("blob %s has the digest %s and %d bytes, want %d", descriptor.Digest, got, len(data), descriptor.Size)
		}
	}
}

func readJSON(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func toSet(list []string) map[string]bool {
	set := map[string]bool{}
	for _, entry := range list {
		set[entry] = true
	}
	return set
}

func TestSaveWritesTheSameBytesForTheSameFiles(t *testing.T) {
	t.Parallel()
	var bodies [2][]byte
	for i := range bodies {
		saved := save(t, store(t), sample(write(t, "program")))
		var err error
		if bodies[i], err = os.ReadFile(saved.Path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(bodies[0], bodies[1]) {
		t.Error("two builds of the same files differ")
	}
}

func TestSaveDoesNothingUntilAnInputChanges(t *testing.T) {
	t.Parallel()
	s, program := store(t), write(t, "program")
	if !save(t, s, sample(program)).Built {
		t.Error("the first build did nothing")
	}
	if save(t, s, sample(program)).Built {
		t.Error("built again though nothing changed")
	}
	changed := sample(program)
	changed.Env = []string{"A=c"}
	if !save(t, s, changed).Built {
		t.Error("a changed variable was not built")
	}
	if err := os.WriteFile(program, []byte("PROGRAM"), 0o700); err != nil { // the same length
		t.Fatal(err)
	}
	if !save(t, s, changed).Built {
		t.Error("a changed file was not built")
	}
	s.Tag = "1.2.4"
	if !save(t, s, changed).Built {
		t.Error("a new tag was not built")
	}
	if err := os.Remove(s.tarball("sample")); err != nil {
		t.Fatal(err)
	}
	if !save(t, s, changed).Built {
		t.Error("a missing tarball was not built")
	}
}

func TestAChangedProgramKeepsTheOtherLayer(t *testing.T) {
	t.Parallel()
	s := store(t)
	save(t, s, sample(write(t, "one")))
	save(t, s, sample(write(t, "two")))
	layers, err := filepath.Glob(filepath.Join(s.Dir, "layers", "*.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) != 3 {
		t.Errorf("%d layers were made, want the base once and two of the program", len(layers))
	}
}

func TestSaveRefusesWhatCannotBeAnImage(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, want string
		files      []File
	}{
		{"missing source", "no such file", []File{{Path: "/a", Source: "/nowhere/at/all"}}},
		{"relative path", "not a clean absolute path", []File{{Path: "a"}}},
		{"path with dots", "not a clean absolute path", []File{{Path: "/a/../b"}}},
		{"twice", "two files are called /a", []File{{Path: "/a"}, {Path: "/a"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := store(t)
			_, err := s.Save(Image{Name: "bad", Layers: []Layer{{Name: "l", Files: c.files}}})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("err = %v, want one that holds %q", err, c.want)
			}
			if left, _ := filepath.Glob(filepath.Join(s.Dir, "*")); len(left) > 0 {
				t.Errorf("left behind %v", left)
			}
		})
	}
}

func TestPushSendsToAnyRegistry(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	hub := strings.TrimPrefix(server.URL, "http://") + "/team/mesh/"
	s := store(t)
	saved := save(t, s, sample(write(t, "program")))
	pushed, err := s.Push(t.Context(), saved, hub)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(hub + "sample:1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(image); err != nil {
		t.Error(err)
	}
	if digest, err := image.Digest(); err != nil || !strings.HasSuffix(pushed, "/team/mesh/sample@"+digest.String()) {
		t.Errorf("pushed = %s, digest = %s, %v", pushed, digest, err)
	}
	server.Close()
	if _, err := s.Push(t.Context(), saved, hub); err == nil {
		t.Error("pushed to a registry that is gone")
	}
}

func TestProgramBringsItsLibraries(t *testing.T) {
	t.Parallel()
	files, err := Program(t.Context(), "/bin/sh", "/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	for _, file := range files {
		paths[filepath.Base(file.Path)] = true
	}
	if !paths["sh"] || !paths["libc.so.6"] {
		t.Errorf("files = %v, want the shell and the C library", files)
	}
	if twice := Merge(files, files); len(twice) != len(files) {
		t.Errorf("merged %d files into %d", 2*len(files), len(twice))
	}
	if _, err := Program(t.Context(), "/nowhere/at/all", "/x"); err == nil {
		t.Error("a missing program gave no error")
	}
}
