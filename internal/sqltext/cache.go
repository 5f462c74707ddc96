package sqltext

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

const (
	// cacheSlots is how many texts are remembered; a program sends few again and again.
	cacheSlots = 256
	// mostCached is how long a text may be to be remembered. It bounds the memory, and
	// longer ones are made for one use as a rule.
	mostCached = 4 << 10
)

// Cache remembers what Parse made of the texts that came last. Each text has one slot,
// which it shares with others: so there is no list to keep, and no lock. The zero value
// is empty. A Cache is safe for concurrent use; nobody may write to what it returns.
type Cache struct {
	slots [cacheSlots]atomic.Pointer[parsed]
}

type parsed struct {
	text   string
	script []Statement
}

var cacheSeed = maphash.MakeSeed()

// Parse returns what [Parse] returns for the text. Errors are not remembered.
func (c *Cache) Parse(text string) ([]Statement, error) {
	if len(text) > mostCached {
		return Parse(text)
	}
	slot := &c.slots[maphash.String(cacheSeed, text)%cacheSlots]
	if p := slot.Load(); p != nil && p.text == text {
		return p.script, nil
	}
	text = strings.Clone(text) // it may be a small part of a large string
	script, err := Parse(text)
	if err == nil {
		slot.Store(&parsed{text, script})
	}
	return script, err
}
