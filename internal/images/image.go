// Package images makes container images out of files, without Docker: tarballs of OCI layouts, which `ctr images import`
// loads and any registry takes. The build tool (tools/images) uses it. It knows nothing of which images the project has, runs no
// compiler, and writes the same bytes for the same files on any machine.
package images

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// SumsLabel is the image label that lists every file in the form that `sha256sum --check` reads.
const SumsLabel = "isthmus.sha256sums"

// Image is what goes into one container image. Layers that seldom change come first, since they are shared and kept.
type Image struct {
	Name       string
	Layers     []Layer
	Entrypoint []string
	Env        []string // NAME=value
	User       string   // name or number
	Labels     map[string]string
}

// epoch is the time stamp of everything in an image: a build's own time would make each build differ.
var epoch = time.Unix(0, 0).UTC()

// sealed is an image whose files have been read once: their sums name it.
type sealed struct {
	Image
	layers []sealedLayer
	key    string // equal keys mean equal images
}

// seal reads all files and works out the image's key. It changes nothing in image.
func seal(image Image) (sealed, error) {
	s := sealed{Image: image}
	hash := sha256.New()
	for _, layer := range image.Layers {
		l, err := sealLayer(layer)
		if err != nil {
			return sealed{}, fmt.Errorf("image %s: %w", image.Name, err)
		}
		s.layers = append(s.layers, l)
		fmt.Fprintln(hash, l.key)
	}
	config, err := json.Marshal(s.config())
	if err != nil {
		return sealed{}, fmt.Errorf("image %s: %w", image.Name, err)
	}
	hash.Write(config)
	s.key = hex.EncodeToString(hash.Sum(nil))
	return s, nil
}

// config is how the image runs, with the sums of its files in a label.
func (s sealed) config() v1.Config {
	labels := map[string]string{}
	for name, value := range s.Labels {
		labels[name] = value
	}
	var sums strings.Builder
	for _, layer := range s.layers {
		for _, file := range layer.files {
			if file.sum != "" {
				fmt.Fprintf(&sums, "%s  %s\n", file.sum, file.Path)
			}
		}
	}
	labels[SumsLabel] = sums.String()
	return v1.Config{
		Entrypoint: s.Entrypoint,
		Env:        append([]string{"PATH=/usr/local/bin:/usr/bin:/bin"}, s.Env...),
		User:       s.User,
		WorkingDir: "/",
		Labels:     labels,
	}
}

// assemble joins the layers, which it takes from the cache folder when they are there.
func (s sealed) assemble(cache string) (v1.Image, error) {
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH, Created: v1.Time{Time: epoch}, Config: s.config(),
		RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", s.Name, err)
	}
	image = mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, layer := range s.layers {
		made, err := layer.write(cache)
		if err != nil {
			return nil, fmt.Errorf("image %s: layer %s: %w", s.Name, layer.Name, err)
		}
		image, err = mutate.Append(image, mutate.Addendum{
			Layer:   made,
			History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "isthmus layer " + layer.Name},
		})
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", s.Name, err)
		}
	}
	return image, nil
}
