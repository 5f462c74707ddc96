package autocommit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// quickEnough is how long a node may work on a statement, on average, for it to go out with
	// others, which wait for it. A point read takes it some 20 µs.
	quickEnough = time.Millisecond
	// memory is how many answers the average is about.
	memory = 16
	// slowest bounds the weight of a single answer in the average. On a busy machine any statement
	// takes long now and then. So one such answer does not make a quick text slow, but two among a
	// few do.
	slowest = (memory - 1) * quickEnough
	// largestRows is the size in bytes of the largest answer that does not count as slow. It waits
	// in memory until all of its request has arrived.
	largestRows = 64 << 10

	// tooLong is how long a node may work on a single execution. One that takes longer shows that the
	// text is slow with some values. It goes alone for the next aloneFor answers.
	tooLong  = 20 * time.Millisecond
	aloneFor = 256

	quickSets = 256 // of quickWays texts each
	quickWays = 4
	// longestText is the size in bytes of the longest text that is remembered.
	longestText = 4 << 10
)

// quickTexts remembers how long a node works on reads, by their texts. The number of texts is
// bounded: each belongs to a set of a few, and takes the place of another one there. The zero value
// is empty. It is safe for concurrent use.
type quickTexts struct {
	sets [quickSets][quickWays]atomic.Pointer[textCost]
	turn atomic.Uint32 // which of a set's texts is replaced next
}

var quickSeed = maphash.MakeSeed()

// of returns what is known of a text, nil for a long one.
func (q *quickTexts) of(text string) *textCost {
	if len(text) > longestText {
		return nil
	}
	set := &q.sets[maphash.String(quickSeed, text)%quickSets]
	free := -1
	for i := range set {
		switch c := set[i].Load(); {
		case c == nil:
			free = i
		case c.text == text:
			return c
		}
	}
	if free < 0 {
		free = int(q.turn.Add(1) % quickWays)
	}
	c := &textCost{text: text}
	set[free].Store(c)
	return c
}

// textCost is what the answers to a text cost. It implements coalesce.Meter.
type textCost struct {
	text string // never changes

	quick atomic.Bool // it may go out with others; set under mu

	// mu guards the rest.
	mu         sync.Mutex
	seen       int           // answers in average, up to memory; 0 if nothing is known
	average    time.Duration // that a node works on it
	unsendable bool          // its rows may have an infinite REAL, and take the answers of others along
	slowLeft   int           // answers until an execution that took too long is forgotten; at most aloneFor
}

// isQuick reports whether the text may go out with others. It may not before its first answer.
func (c *textCost) isQuick() bool { return c != nil && c.quick.Load() }

// work returns how long a node probably works on the text.
func (c *textCost) work() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.average
}

// Measure implements coalesce.Meter.
func (c *textCost) Measure(took time.Duration, size int) {
	if size > largestRows {
		took = slowest
	}
	if took <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slowLeft--; took > tooLong {
		c.slowLeft = aloneFor
	}
	c.slowLeft = max(c.slowLeft, 0)
	c.seen = min(c.seen+1, memory)
	c.average += (min(took, slowest) - c.average) / time.Duration(c.seen)
	c.decide()
}

// Doubt implements coalesce.Meter. The text goes alone until the next answer.
func (c *textCost) Doubt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen, c.average = 0, 0
	c.decide()
}

// cannotBeSent notes that a node could not send the rows. The text goes alone from now on.
func (c *textCost) cannotBeSent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unsendable = true
	c.decide()
}

// decide sets quick. The caller holds c.mu.
func (c *textCost) decide() {
	quick := c.seen > 0 && c.average <= quickEnough && !c.unsendable && c.slowLeft == 0
	if c.quick.Load() != quick {
		c.quick.Store(quick)
	}
}
