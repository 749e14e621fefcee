package sds

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// storeName of the one file that holds key, chain and roots together, so that they never come from different renewals.
const storeName = "workload-secret.json"

type stored struct {
	Key   string `json:"key"`
	Chain string `json:"chain"`
	Roots string `json:"roots"`
}

// load reads the saved secret; nil without an error if there is none.
func load(dir string) (*Secret, error) {
	if dir == "" {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(dir, storeName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read saved certificate: %w", err)
	}
	var s stored
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read saved certificate: %w", err)
	}
	return parseSecret([]byte(s.Key), []byte(s.Chain), []byte(s.Roots))
}

// save writes the secret beside the old one and then renames it: a crash leaves one or the other.
func save(dir string, secret *Secret) error {
	if dir == "" {
		return nil
	}
	text, err := json.Marshal(stored{string(secret.Key), string(secret.Chain), string(secret.Roots)})
	if err != nil {
		return err
	}
	path := filepath.Join(dir, storeName)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("save certificate: %w", err)
	}
	return os.Rename(path+".new", path)
}
