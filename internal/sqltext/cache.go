package sqltext

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

const (
	// cacheSlots is the number of texts that a Cache remembers. A program sends few texts again and
	// again.
	cacheSlots = 256
	// mostCached is the largest size of a text that a Cache remembers. It bounds the memory. Longer
	// texts are usually used once.
	mostCached = 4 << 10
)

// Cache remembers the results of Parse for recent texts. Each text has one slot, which it shares
// with other texts, so there is no list to keep and no lock. The zero value is empty. A Cache is
// safe for concurrent use. Callers must not change the results.
type Cache struct {
	slots [cacheSlots]atomic.Pointer[parsed]
}

type parsed struct {
	text   string
	script []Statement
}

var cacheSeed = maphash.MakeSeed()

// Parse returns the result of [Parse] for the text. Errors are not remembered.
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
		keepFacts(script)
		slot.Store(&parsed{text, script})
	}
	return script, err
}
