package authn

import (
	"crypto/sha256"
	"sync"
	"time"
)

// cacheSize bounds the memory of reviews: a Caller is about 200 bytes, so the cache stays under 4 MiB.
const cacheSize = 16384

// reviewCache remembers successful token reviews for a short while. A proxy reconnects its stream, asks for certificates and
// connects again after a push of istiod's pods; one review serves them all. It holds hashes, never tokens.
type reviewCache struct {
	ttl time.Duration

	mu      sync.Mutex // guards what follows
	reviews map[[sha256.Size]byte]review
	order   []entry // as put in, so the oldest leave first
}

type review struct {
	caller  Caller
	expires time.Time
}

type entry struct {
	key     [sha256.Size]byte
	expires time.Time
}

func newReviewCache(ttl time.Duration) *reviewCache {
	return &reviewCache{ttl: ttl, reviews: map[[sha256.Size]byte]review{}}
}

// cacheKey tells tokens of different clusters apart: the same bytes may be good in one and not in the other.
func cacheKey(cluster, token string) [sha256.Size]byte {
	return sha256.Sum256([]byte(cluster + "\x00" + token))
}

func (c *reviewCache) get(key [sha256.Size]byte, now time.Time) (Caller, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.reviews[key]
	if !ok || !now.Before(r.expires) {
		return Caller{}, false
	}
	return r.caller, true
}

func (c *reviewCache) put(key [sha256.Size]byte, caller Caller, now time.Time) {
	if c.ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.order) > 0 && (len(c.order) >= cacheSize || !now.Before(c.order[0].expires)) {
		oldest := c.order[0]
		c.order = c.order[1:]
		// A token that was reviewed again since has a later entry, which is the one that counts.
		if c.reviews[oldest.key].expires.Equal(oldest.expires) {
			delete(c.reviews, oldest.key)
		}
	}
	expires := now.Add(c.ttl)
	c.reviews[key] = review{caller: caller, expires: expires}
	c.order = append(c.order, entry{key: key, expires: expires})
}
