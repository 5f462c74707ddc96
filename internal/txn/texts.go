package txn

import (
	"crypto/sha256"
	"sync"
)

// Texts is what a connector remembers of the texts of statements that run in its transactions. The
// zero value remembers nothing. It is safe for concurrent use.
type Texts struct {
	// mu guards traits. Invariant: len(traits) <= mostTexts, and no value is 0.
	mu     sync.RWMutex
	traits map[[sha256.Size]byte]trait // by the sums of the texts, because they may be long
}

// mostTexts bounds the remembered texts. One more takes the place of any other.
const mostTexts = 4096

// trait is a set of what may be known of a text.
type trait uint8

const (
	fails       trait = 1 << iota // it has failed in a transaction, so that it must not wait
	misforeseen                   // its ids were foreseen wrongly
	unfusable                     // several of it cannot go as one statement
)

// has reports whether a text has a trait.
func (t *Texts) has(text string, one trait) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.traits) > 0 && t.traits[sha256.Sum256([]byte(text))]&one != 0
}

// add gives a text a trait.
func (t *Texts) add(text string, one trait) {
	sum := sha256.Sum256([]byte(text))
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.traits == nil {
		t.traits = make(map[[sha256.Size]byte]trait)
	}
	for other := range t.traits {
		if _, known := t.traits[sum]; known || len(t.traits) < mostTexts {
			break
		}
		delete(t.traits, other)
	}
	t.traits[sum] |= one
}

// remove takes a trait from a text.
func (t *Texts) remove(text string, one trait) {
	sum := sha256.Sum256([]byte(text))
	t.mu.Lock()
	defer t.mu.Unlock()
	switch left := t.traits[sum] &^ one; {
	case left != 0:
		t.traits[sum] = left
	default:
		delete(t.traits, sum)
	}
}
