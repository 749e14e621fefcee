package binaries

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write recipes.txtar from the modules")

func TestArchiveIsACopyOfTheModules(t *testing.T) {
	t.Parallel()
	var files []string
	for _, pattern := range []string{"*/go.mod", "*/go.sum", "*/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	archive := &txtar.Archive{Comment: []byte("Written by `go test ./binaries -update` from the modules in this folder.\n")}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		archive.Files = append(archive.Files, txtar.File{Name: filepath.ToSlash(name), Data: data})
	}
	want := txtar.Format(archive)
	if *update {
		if err := os.WriteFile("recipes.txtar", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(Archive, want) {
		t.Error("recipes.txtar differs from the modules beside it: run `go test ./binaries -update`")
	}
}
