package sds

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const lifetime = time.Hour

// running starts a keeper whose authority fails while down is set.
func running(t *testing.T, dir string, down *atomic.Bool) *Keeper {
	t.Helper()
	ca := newAuthority(t)
	sign := func(ctx context.Context, csr []byte, d time.Duration) ([]string, error) {
		if down.Load() {
			return nil, errors.New("unreachable")
		}
		return ca.sign(ctx, csr, d)
	}
	k := NewKeeper(Options{Identity: identity, Dir: dir, Lifetime: lifetime, Sign: sign})
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
		var down atomic.Bool
		k := running(t, "", &down)
		first := current(k)
		if first == nil {
			t.Fatal("no certificate at the start")
		}
		time.Sleep(lifetime * 48 / 100)
		if current(k) != first {
			t.Error("renewed too early")
		}
		time.Sleep(lifetime * 4 / 100)
		second := current(k)
		if second == first {
			t.Fatal("not renewed after half of the lifetime")
		}
		if string(second.Key) == string(first.Key) {
			t.Error("the old key was used again")
		}
		if left := k.secondsLeft(); left < (lifetime * 97 / 100).Seconds() {
			t.Errorf("%v s left", left)
		}
	})
}

func TestShortLivedCertificatesAreNotAskedForInALoop(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name     string
		lifetime time.Duration
		calls    int64 // at most, in a minute
	}{
		{"shorter than the authority's backdating", 30 * time.Second, 5},
		{"as long as the backdating", 2 * time.Minute, 2},
		{"shorter than the floor", time.Second, 61},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ca := newAuthority(t)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				calls := int64(0)
				NewKeeper(Options{Identity: identity, Lifetime: c.lifetime, Sign: func(ctx context.Context, csr []byte, d time.Duration) ([]string, error) {
					if calls++; calls > c.calls {
						cancel()
						return nil, ctx.Err()
					}
					return ca.sign(ctx, csr, d)
				}}).Run(ctx)
				if calls > c.calls {
					t.Errorf("more than %d certificates in a minute", c.calls)
				}
			})
		})
	}
}

func TestKeepsTheOldCertificateWhileTheAuthorityFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		k := running(t, "", &down)
		first := current(k)
		down.Store(true)
		time.Sleep(lifetime * 99 / 100)
		if current(k) != first || k.TLSCertificate() == nil {
			t.Error("a failure took the certificate away")
		}
		time.Sleep(lifetime)
		if k.TLSCertificate() != nil {
			t.Error("an ended certificate is offered")
		}
		down.Store(false)
		time.Sleep(retryMax)
		if s := current(k); s == first {
			t.Error("did not recover within the longest pause")
		}
	})
}

func TestRetriesWithGrowingPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		k := NewKeeper(Options{Identity: identity, Sign: func(context.Context, []byte, time.Duration) ([]string, error) {
			calls.Add(1)
			return nil, errors.New("unreachable")
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); k.Run(ctx) }()
		time.Sleep(time.Second)
		synctest.Wait()
		early := calls.Load()
		time.Sleep(time.Hour)
		synctest.Wait()
		if early < 3 || calls.Load()-early < 120 || calls.Load()-early > 260 {
			t.Errorf("%d tries in the first second, %d in the next hour", early, calls.Load()-early)
		}
		cancel()
		<-done
	})
}

func TestRestartStartsFromTheSavedCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		first := current(running(t, dir, &down))
		info, err := os.Stat(filepath.Join(dir, storeName))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("saved with mode %v, error %v", info.Mode(), err)
		}
		down.Store(true)
		again := current(running(t, dir, &down))
		if again == nil || string(again.Key) != string(first.Key) {
			t.Error("the saved certificate was not used")
		}
		time.Sleep(2 * lifetime)
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
