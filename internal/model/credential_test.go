package model_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

func TestKeysAreNeverPrinted(t *testing.T) {
	t.Parallel()
	c := &model.Credential{Certificates: "public", Key: "hidden"}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", *c)
		fmt.Fprintf(&out, verb+"\n", c.Key)
	}
	if err := json.NewEncoder(&out).Encode(c); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "credential", c, "key", c.Key)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "credential", c, "key", c.Key)
	if text := out.String(); strings.Contains(text, "hidden") || strings.Contains(text, "68696464656e") || !strings.Contains(text, "public") {
		t.Errorf("printed:\n%s", text)
	}
}
