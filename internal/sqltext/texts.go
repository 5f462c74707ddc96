package sqltext

import (
	"crypto/sha256"
	"sync"
	"unsafe"
)

// Trait is a set of what may be known of a text. Each user of a [Texts] has constants of its own, one
// bit each.
type Trait uint8

// Texts remembers traits of texts of statements. The zero value remembers nothing. It is safe for
// concurrent use.
type Texts struct {
	// mu guards traits. Invariant: len(traits) <= mostTexts, and no value is 0.
	mu     sync.RWMutex
	traits map[[sha256.Size]byte]Trait // by the sums of the texts, because they may be long
}

// mostTexts bounds the remembered texts. A program has few, unless it writes values into them. One
// more takes the place of any other.
const mostTexts = 4096

// Has reports whether a text has a trait.
func (t *Texts) Has(text string, one Trait) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.traits) > 0 && t.traits[sumOf(text)]&one != 0
}

// Add gives a text a trait.
func (t *Texts) Add(text string, one Trait) {
	sum := sumOf(text)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.traits == nil {
		t.traits = make(map[[sha256.Size]byte]Trait)
	}
	for other := range t.traits {
		if _, known := t.traits[sum]; known || len(t.traits) < mostTexts {
			break
		}
		delete(t.traits, other)
	}
	t.traits[sum] |= one
}

// Remove takes a trait from a text.
func (t *Texts) Remove(text string, one Trait) {
	sum := sumOf(text)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch left := t.traits[sum] &^ one; {
	case left != 0:
		t.traits[sum] = left
	default:
		delete(t.traits, sum)
	}
}

func sumOf(text string) [sha256.Size]byte {
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(text), len(text))) // which keeps nothing of it
}
