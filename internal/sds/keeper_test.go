package sds

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const day = 24 * time.Hour

// running starts a keeper whose authority fails while *down says so.
func running(t *testing.T, dir string, down *error) *Keeper {
	t.Helper()
	ca := newAuthority(t)
	k := NewKeeper(Options{Identity: identity, Dir: dir, Sign: func(ctx context.Context, csr []byte, d time.Duration) ([]string, error) {
		if *down != nil {
			return nil, *down
		}
		return ca.sign(ctx, csr, d)
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); k.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return k
}

func current(k *Keeper) *Secret {
	synctest.Wait()
	s, _ := k.Current()
	return s
}

func TestRenewsAtHalfOfTheLifetime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var down error
		k := running(t, "", &down)
		first := current(k)
		if first == nil {
			t.Fatal("no certificate at the start")
		}
		time.Sleep(day * 48 / 100)
		if current(k) != first {
			t.Error("renewed too early")
		}
		time.Sleep(day * 4 / 100)
		second := current(k)
		if second == first {
			t.Fatal("not renewed after half of the lifetime")
		}
		if string(second.Key) == string(first.Key) {
			t.Error("the old key was used again")
		}
		if left := k.secondsLeft(); left < (day * 97 / 100).Seconds() {
			t.Errorf("%v s left", left)
		}
	})
}

func TestKeepsTheOldCertificateWhileTheAuthorityFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var down error
		k := running(t, "", &down)
		first := current(k)
		down = errors.New("unreachable")
		time.Sleep(day * 99 / 100)
		if current(k) != first || k.TLSCertificate() == nil {
			t.Error("a failure took the certificate away")
		}
		time.Sleep(day)
		if k.TLSCertificate() != nil {
			t.Error("an ended certificate is offered")
		}
		down = nil
		time.Sleep(retryMax)
		if s := current(k); s == first {
			t.Error("did not recover within the longest pause")
		}
	})
}

func TestRetriesWithGrowingPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		k := NewKeeper(Options{Identity: identity, Sign: func(context.Context, []byte, time.Duration) ([]string, error) {
			calls++
			return nil, errors.New("unreachable")
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); k.Run(ctx) }()
		time.Sleep(time.Second)
		synctest.Wait()
		early := calls
		time.Sleep(time.Hour)
		synctest.Wait()
		if early < 3 || calls-early < 120 || calls-early > 260 {
			t.Errorf("%d tries in the first second, %d in the next hour", early, calls-early)
		}
		cancel()
		<-done
	})
}

func TestRestartStartsFromTheSavedCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var down error
		first := current(running(t, dir, &down))
		info, err := os.Stat(filepath.Join(dir, storeName))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("saved with mode %v, error %v", info.Mode(), err)
		}
		down = errors.New("unreachable")
		again := current(running(t, dir, &down))
		if again == nil || string(again.Key) != string(first.Key) {
			t.Error("the saved certificate was not used")
		}
		time.Sleep(2 * day)
		if s := current(NewKeeper(Options{Identity: identity, Dir: dir})); s != nil {
			t.Error("a saved certificate that has ended was used")
		}
	})
}

func TestBrokenFilesAreIgnored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, storeName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, _ := NewKeeper(Options{Identity: identity, Dir: dir}).Current(); s != nil {
		t.Error("read a secret out of nothing")
	}
}

func TestAnswersThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	key, csr, err := request(ECDSA, identity)
	if err != nil {
		t.Fatal(err)
	}
	good, err := ca.sign(t.Context(), csr, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := request(ECDSA, identity)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name   string
		key    []byte
		answer []string
		want   string
	}{
		{"fits", key, good, ""},
		{"no roots", key, good[:1], "1 elements"},
		{"another key", other, good, "another key"},
		{"no certificate", key, []string{"nonsense", good[1]}, "certificate chain"},
		{"no root certificate", key, []string{good[0], "nonsense"}, "root certificates"},
	}
	for _, c := range cases {
		_, err := fromAnswer(c.key, c.answer)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}
