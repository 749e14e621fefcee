package main

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/images"
)

// recipeBuilder makes images of stand-in programs, which is enough to see what goes where.
func recipeBuilder(t *testing.T) *builder {
	dir := t.TempDir()
	return &builder{
		work: dir, tag: "1.2.3", envoy: "/bin/true",
		store: images.Store{Dir: filepath.Join(dir, "images"), Hub: "ghcr.io/isthmus-mesh", Tag: "1.2.3"},
		compile: func(_ context.Context, pkg string) (string, error) {
			file := filepath.Join(dir, strings.ReplaceAll(pkg, "/", "-"))
			return file, os.WriteFile(file, []byte(pkg), 0o700)
		},
	}
}

func describe(t *testing.T, b *builder, name string) (images.Image, map[string]images.File) {
	t.Helper()
	chosen, err := choose([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	image, err := chosen[0].describe(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]images.File{}
	for _, layer := range image.Layers {
		for _, file := range layer.Files {
			files[file.Path] = file
		}
	}
	return image, files
}

func TestMeshImagesHaveNoShellAndNoRoot(t *testing.T) {
	t.Parallel()
	b := recipeBuilder(t)
	for _, name := range []string{"proxy", "istiod"} {
		image, files := describe(t, b, name)
		for file := range files {
			if slices.Contains([]string{"sh", "bash", "dash", "ash", "busybox"}, path.Base(file)) {
				t.Errorf("%s has a shell: %s", name, file)
			}
		}
		if image.User != "1337" || image.Name != name {
			t.Errorf("%s runs as %q under the name %s", name, image.User, image.Name)
		}
		if _, ok := files[image.Entrypoint[0]]; !ok {
			t.Errorf("%s has no file %s", name, image.Entrypoint[0])
		}
		if _, err := b.store.Save(image); err != nil {
			t.Error(err)
		}
	}
}

func TestProxyKeepsEnvoyApartFromTheAgent(t *testing.T) {
	t.Parallel()
	image, files := describe(t, recipeBuilder(t), "proxy")
	var layers []string
	for _, layer := range image.Layers {
		layers = append(layers, layer.Name)
	}
	if !slices.Equal(layers, []string{"base", "envoy", "agent"}) {
		t.Errorf("layers = %v", layers)
	}
	if files["/usr/local/bin/pilot-agent"].Link != "agent" {
		t.Errorf("pilot-agent = %+v", files["/usr/local/bin/pilot-agent"])
	}
	if files["/usr/local/bin/envoy"].Source != "/bin/true" {
		t.Errorf("envoy = %+v", files["/usr/local/bin/envoy"])
	}
}

func TestHelloworldVersionsShareTheirLayers(t *testing.T) {
	t.Parallel()
	b := recipeBuilder(t)
	for _, version := range []string{"v1", "v2"} {
		image, _ := describe(t, b, "examples-helloworld-"+version)
		if !slices.Equal(image.Env, []string{"SERVICE_VERSION=" + version}) {
			t.Errorf("env = %v", image.Env)
		}
		if _, err := b.store.Save(image); err != nil {
			t.Fatal(err)
		}
	}
	layers, err := filepath.Glob(filepath.Join(b.store.Dir, "layers", "*"))
	if err != nil || len(layers) != 2 {
		t.Errorf("layers = %v, %v, want two", layers, err)
	}
}

func TestUnknownImageIsNamedWithTheKnownOnes(t *testing.T) {
	t.Parallel()
	_, err := choose([]string{"proxyv2"})
	if err == nil || !strings.Contains(err.Error(), "proxy, istiod") {
		t.Errorf("err = %v", err)
	}
}
