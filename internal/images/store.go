package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Store is a folder of images, each a tarball NAME.tar of an OCI layout, with what is needed to tell whether they are up to date.
type Store struct {
	Dir string
	Hub string // stands before the images' names, such as ghcr.io/isthmus-mesh
	Tag string
}

// Saved is an image in the store.
type Saved struct {
	Name  string
	Ref   string // HUB/NAME:TAG, as it is called inside of the tarball
	Path  string // of the tarball
	Size  int64  // of the tarball, in bytes
	Built bool   // false when the tarball held these files already
}

// Save writes the image's tarball, unless it is there already with the same files and settings.
func (s Store) Save(image Image) (Saved, error) {
	ref, err := name.NewTag(s.Hub+"/"+image.Name+":"+s.Tag, name.StrictValidation)
	if err != nil {
		return Saved{}, fmt.Errorf("name of image %s: %w", image.Name, err)
	}
	sealed, err := seal(image)
	if err != nil {
		return Saved{}, err
	}
	saved := Saved{Name: image.Name, Ref: ref.Name(), Path: s.tarball(image.Name)}
	key := "oci " + ref.Name() + " " + sealed.key + "\n"
	if s.upToDate(image.Name, key) {
		saved.Size, err = sizeOf(saved.Path)
		return saved, err
	}
	made, err := sealed.assemble(filepath.Join(s.Dir, "layers"))
	if err != nil {
		return Saved{}, err
	}
	err = writeFile(saved.Path, func(to io.Writer) error { return writeArchive(to, ref, made) })
	if err != nil {
		return Saved{}, err
	}
	// The key comes last: without it the next build does the work again.
	err = writeFile(s.keyFile(image.Name), func(to io.Writer) error { _, err := io.WriteString(to, key); return err })
	if err != nil {
		return Saved{}, err
	}
	saved.Built = true
	saved.Size, err = sizeOf(saved.Path)
	return saved, err
}

// Push sends a saved image to another hub under its own name and tag. Credentials are those of Docker's configuration.
func (s Store) Push(ctx context.Context, saved Saved, hub string, options ...remote.Option) (string, error) {
	to, err := name.NewTag(strings.TrimSuffix(hub, "/") + "/" + saved.Name + ":" + s.Tag)
	if err != nil {
		return "", fmt.Errorf("name of image %s at %s: %w", saved.Name, hub, err)
	}
	unpacked, err := os.MkdirTemp(s.Dir, "push-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(unpacked)
	image, err := openArchive(saved.Path, unpacked)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", saved.Path, err)
	}
	options = append([]remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}, options...)
	if err := remote.Write(to, image, options...); err != nil {
		return "", fmt.Errorf("push %s: %w", to, err)
	}
	digest, err := image.Digest()
	if err != nil {
		return "", fmt.Errorf("digest of %s: %w", to, err)
	}
	return to.Context().Digest(digest.String()).Name(), nil
}

func (s Store) tarball(image string) string { return filepath.Join(s.Dir, image+".tar") }

func (s Store) keyFile(image string) string { return filepath.Join(s.Dir, image+".key") }

func (s Store) upToDate(image, key string) bool {
	old, err := os.ReadFile(s.keyFile(image))
	if err != nil || string(old) != key {
		return false
	}
	_, err = os.Stat(s.tarball(image))
	return err == nil
}

// writeFile replaces a file in one step, so that a build that is cut short leaves the old one or none.
func writeFile(file string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".part-*")
	if err != nil {
		return err
	}
	err = errors.Join(write(part), part.Chmod(0o644), part.Close())
	if err == nil {
		err = os.Rename(part.Name(), file)
	}
	if err != nil {
		if gone := os.Remove(part.Name()); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

func sizeOf(file string) (int64, error) {
	info, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
