package autocommit

import (
	"crypto/sha256"
	"sync"
	"unsafe"
)

// texts remembers texts of statements of which something has been found out. The zero value is
// empty. It is safe for concurrent use.
type texts struct {
	// mu guards sums. Invariant: len(sums) <= mostTexts.
	mu   sync.RWMutex
	sums map[[sha256.Size]byte]struct{} // not the texts, because they may be long
}

// mostTexts bounds the remembered texts. A program has few, unless it writes values into them.
const mostTexts = 1000

// has reports whether a text is remembered.
func (t *texts) has(text string) bool {
	sum := sumOf(text)
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, ok := t.sums[sum]
	return ok
}

// add remembers a text. A new one takes the place of any other if there are too many.
func (t *texts) add(text string) {
	sum := sumOf(text)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sums == nil {
		t.sums = make(map[[sha256.Size]byte]struct{})
	}
	for other := range t.sums {
		if _, known := t.sums[sum]; known || len(t.sums) < mostTexts {
			break
		}
		delete(t.sums, other)
	}
	t.sums[sum] = struct{}{}
}

func sumOf(text string) [sha256.Size]byte {
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(text), len(text))) // which keeps nothing of it
}
