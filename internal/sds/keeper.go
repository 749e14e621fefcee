package sds

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Sign asks the certificate authority to sign a request (PEM) for a lifetime. The answer holds the leaf, intermediates and, last,
// the roots, each in PEM.
type Sign func(ctx context.Context, csr []byte, lifetime time.Duration) ([]string, error)

// Options of a Keeper. Identity and Sign are needed.
type Options struct {
	Identity string // SPIFFE ID to ask for; the authority decides by the caller's credential
	Sign     Sign
	KeyType  KeyType
	Lifetime time.Duration // to ask for; 24 hours if 0
	Dir      string        // where the secret survives a restart of the agent, on a memory volume; "" keeps it nowhere
	Metrics  prometheus.Registerer
	Log      *slog.Logger
}

// Timing of renewals: at half of the lifetime, spread by a hundredth of it so that pods that started together part, and
// never at once after a success; after a failure with growing pauses.
const (
	defaultLifetime = 24 * time.Hour
	graceRatio      = 0.5
	graceJitter     = 0.01
	renewMin        = time.Second

	retryFirst = 200 * time.Millisecond
	retryMax   = 30 * time.Second
)

// Keeper holds the pod's secret and renews it in time.
type Keeper struct {
	o        Options
	failures prometheus.Counter

	mu       sync.Mutex // guards the fields below
	secret   *Secret    // nil until the first one
	received time.Time  // when the authority gave it; for a saved secret, the start of its validity
	changed  chan struct{}
}

// NewKeeper starts from the secret in Options.Dir, if there is one that is valid still.
func NewKeeper(o Options) *Keeper {
	if o.Lifetime == 0 {
		o.Lifetime = defaultLifetime
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{o: o, changed: make(chan struct{})}
	f := promauto.With(o.Metrics)
	k.failures = f.NewCounter(prometheus.CounterOpts{
		Name: "cert_request_failures_total", Help: "Requests for a certificate that failed.",
	})
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cert_expiry_seconds", Help: "Seconds until the certificate ends; negative when it has, or when there is none.",
	}, k.secondsLeft)
	secret, err := load(o.Dir)
	switch {
	case err != nil:
		o.Log.Warn("saved certificate not used", "err", err)
	case secret != nil && time.Now().Before(secret.Expires()):
		k.secret, k.received = secret, secret.leaf.NotBefore
	}
	return k
}

// Current is the secret in use, nil if there is none yet, and a channel that closes when that changes.
func (k *Keeper) Current() (*Secret, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.secret, k.changed
}

// Run gets a secret and renews it until ctx ends. A failure never takes the old secret away.
func (k *Keeper) Run(ctx context.Context) {
	pause := retryFirst
	for ctx.Err() == nil {
		wait := k.untilRenewal()
		if wait <= 0 {
			err := k.renew(ctx)
			if err == nil {
				pause = retryFirst
				continue
			}
			if ctx.Err() != nil {
				return
			}
			k.failures.Inc()
			wait = jittered(pause)
			k.o.Log.Warn("no certificate from the authority", "err", err, "retry_in", wait.Round(time.Millisecond))
			pause = min(2*pause, retryMax)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// untilRenewal is how long the secret in use needs no renewal. The lifetime counts from receipt: an authority dates the start of
// validity back for peers with late clocks, by more than a short lifetime is long.
func (k *Keeper) untilRenewal() time.Duration {
	k.mu.Lock()
	secret, received := k.secret, k.received
	k.mu.Unlock()
	if secret == nil {
		return 0
	}
	ratio := graceRatio + graceJitter*secret.jitter()
	grace := time.Duration(float64(secret.Expires().Sub(received)) * ratio)
	return max(time.Until(secret.Expires().Add(-grace)), time.Until(received.Add(renewMin)))
}

// jitter is between -1 and 1 and stays the same for one secret, so that asking twice gives one answer.
func (s *Secret) jitter() float64 {
	last := byte(0)
	if b := s.leaf.SerialNumber.Bytes(); len(b) > 0 {
		last = b[len(b)-1]
	}
	return float64(last)/127.5 - 1
}

func (k *Keeper) renew(ctx context.Context) error {
	key, csr, err := request(k.o.KeyType, k.o.Identity)
	if err != nil {
		return err
	}
	answer, err := k.o.Sign(ctx, csr, k.o.Lifetime)
	if err != nil {
		return err
	}
	secret, err := fromAnswer(key, answer)
	if err != nil {
		return err
	}
	if !time.Now().Before(secret.Expires()) {
		return fmt.Errorf("the authority's certificate ended at %s already", secret.Expires().Format(time.RFC3339))
	}
	if err := save(k.o.Dir, secret); err != nil {
		// It serves from memory all the same.
		k.o.Log.Warn("certificate not saved", "err", err)
	}
	k.set(secret)
	return nil
}

func (k *Keeper) set(secret *Secret) {
	k.mu.Lock()
	defer k.mu.Unlock()
	newRoots := k.secret != nil && !sameRoots(k.secret, secret)
	k.secret, k.received = secret, time.Now()
	close(k.changed)
	k.changed = make(chan struct{})
	k.o.Log.Info("certificate renewed", "identity", k.o.Identity, "expires", secret.Expires(), "new_roots", newRoots)
}

// TLSCertificate is the secret for Go's TLS, nil when there is none or it has ended.
func (k *Keeper) TLSCertificate() *tls.Certificate {
	secret, _ := k.Current()
	if secret == nil || !time.Now().Before(secret.Expires()) {
		return nil
	}
	cert, err := tls.X509KeyPair(secret.Chain, secret.Key)
	if err != nil {
		return nil // cannot be: parseSecret has checked the pair
	}
	return &cert
}

func (k *Keeper) secondsLeft() float64 {
	secret, _ := k.Current()
	if secret == nil {
		return -1
	}
	return time.Until(secret.Expires()).Seconds()
}

// jittered is between half of d and d.
func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
