package progress

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLongWorkGivesSignsOfLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		err := New(&out).Step("build kubernetes", 4*time.Minute, func() error {
			time.Sleep(65 * time.Second) // of the test's own clock
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := "  build kubernetes ... (last time 4m0s)\n  build kubernetes ... 30s (last time 4m0s)\n" +
			"  build kubernetes ... 1m0s (last time 4m0s)\n  build kubernetes: 1m5s\n"
		if out.String() != want {
			t.Errorf("got\n%s\nwant\n%s", out.String(), want)
		}
	})
}

func TestShortWorkIsOneLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := New(&out).Step("build pause", time.Second, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), "\n") != 1 {
		t.Errorf("got %q", out.String())
	}
}

func TestFailedWorkSaysSo(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	failure := errors.New("no space")
	if err := New(&out).Step("build pause", 0, func() error { return failure }); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(out.String(), "failed after") {
		t.Errorf("got %q", out.String())
	}
}
