package autocommit

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-rqlite/rqlite/internal/coalesce"
	"github.com/go-rqlite/rqlite/internal/wire"
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
	slowest = 10 * quickEnough
	// fewAlone is how many reads may be under way alone before further ones go with schemaLook.
	fewAlone = 4
	// mostDoubted is how many reads of a text go alone at a time to settle a doubt.
	mostDoubted = 32
	// largestRows is the size in bytes of the largest answer that does not count as slow. It waits
	// in memory until all of its request has arrived.
	largestRows = 64 << 10
	// hugeRows is the size in bytes of an answer that shows by itself that the text may be large.
	hugeRows = 1 << 20
	// perByte is how long the others wait for a byte of an answer, on a link of 100 MB a second.
	perByte = 10 * time.Nanosecond

	// tooLong is how long a node may work on a single execution of a text that goes out with others. One
	// that takes longer may show that the text is slow with some values, or that the machine is busy.
	tooLong = 20 * time.Millisecond
	// firstAlone is how many times a text goes alone that has shown to be slow. The number doubles each
	// time, up to mostAlone, until calm answers have come in between. So a text that is slow with some
	// values seldom holds up others, and a busy machine does not part those that are quick: many requests
	// of their own would make it even busier.
	firstAlone = 16
	mostAlone  = 4096
	calm       = 256

	quickSets = 512 // of quickWays texts each
	quickWays = 8
	// longestText is the size in bytes of the longest text that is remembered.
	longestText = 4 << 10
)

// quickTexts remembers how long a node works on reads, by their texts. The number of texts is bounded. Those that are
// read again stay longer than others, so that a program may read texts that are all new as well. The zero value is empty.
// It is safe for concurrent use.
type quickTexts struct {
	sets [quickSets]quickSet // by the texts' hashes
	// alone are the reads of all texts that are under way alone, or wait to be.
	alone atomic.Int64
}

// quickSet is a few of the texts.
type quickSet struct {
	ways [quickWays]atomic.Pointer[textCost]
	hand atomic.Uint32 // the way that a new text takes next, unless the text there was read again
	// left are the marks of the texts that made room last, and turn is how many did. One that comes back was read again.
	left [quickWays]atomic.Uint32
	turn atomic.Uint32
}

var quickSeed = maphash.MakeSeed()

// of returns what is known of a text, nil for a long one.
func (q *quickTexts) of(text string) *textCost {
	if len(text) > longestText {
		return nil
	}
	hash := maphash.String(quickSeed, text)
	set := &q.sets[hash%quickSets]
	for {
		c, free := set.find(text)
		if c != nil {
			return c
		}
		// The text may be a part of a long script, which is not to stay in memory.
		if c = (&textCost{text: strings.Clone(text), mark: uint32(hash>>32) | 1}); set.put(c, free) {
			return c
		}
	}
}

// find returns what is known of a text, or a way that is free, nil for none.
func (s *quickSet) find(text string) (c *textCost, free *atomic.Pointer[textCost]) {
	for i := range s.ways {
		way := &s.ways[i]
		switch c := way.Load(); {
		case c == nil:
			free = way
		case c.text == text:
			if !c.again.Load() {
				c.again.Store(true)
			}
			return c, nil
		}
	}
	return nil, free
}

// put adds a new text, in place of another one if no way is free. It returns false if somebody else was quicker.
func (s *quickSet) put(c *textCost, free *atomic.Pointer[textCost]) bool {
	if free != nil {
		return free.CompareAndSwap(nil, c)
	}
	if s.hasLeft(c.mark) {
		c.again.Store(true)
	}
	var way *atomic.Pointer[textCost]
	var old *textCost
	for range quickWays + 1 { // the last may have been read again already
		way = &s.ways[s.hand.Load()%quickWays]
		if old = way.Load(); !old.again.Swap(false) {
			break
		}
		s.hand.Add(1)
	}
	if old.text == c.text || !way.CompareAndSwap(old, c) {
		return false
	}
	s.left[s.turn.Add(1)%quickWays].Store(old.mark)
	return true
}

// hasLeft reports whether a text with such a mark has made room lately.
func (s *quickSet) hasLeft(mark uint32) bool {
	for i := range s.left {
		if s.left[i].Load() == mark {
			return true
		}
	}
	return false
}

// textCost is what the answers to a text cost. It implements coalesce.Meter and cluster.Needed.
//
// Not every slow answer says that its text is slow. A node opens a connection to its database for the first statement of
// a request if it has none to spare, and SQLite reads the whole schema then. That takes milliseconds if the schema is
// large, and longer where many do it at once. So a slow answer does not count if its statement was the first of
// several. Where several reads go alone, each but the first of a text goes behind a statement that looks at the schema.
type textCost struct {
	text    string            // never changes
	mark    uint32            // a part of its hash, which is not 0; never changes
	columns wire.KnownColumns // of its answers; guards itself

	again    atomic.Bool           // it was read again, since it last made room
	sent     atomic.Bool           // a read has gone in a request of its own
	quick    atomic.Bool           // it may go out with others, but for a doubt; set under mu
	partings atomic.Int64          // calls of part; set under mu
	expected atomic.Int64          // how long others wait for it, on average; set under mu
	doubt    atomic.Pointer[doubt] // nil for none; set under mu

	// mu guards the rest.
	mu         sync.Mutex
	known      bool          // an answer has come
	seen       int           // answers in average, up to memory
	average    time.Duration // that a node works on it, since it was parted
	size       int           // of its answers in bytes, on average, up to largestRows
	unsendable bool          // its rows may have an infinite REAL, and take the answers of others along
	parted     time.Time     // when part was called last
	alone      int           // how many times it had to go alone last, up to mostAlone; 0 before
	aloneLeft  int           // how many times it still has to
	calmLeft   int           // answers until alone is forgotten
}

// isQuick reports whether the text may go out with others. It may not before its first answer.
func (c *textCost) isQuick() bool {
	return c != nil && c.quick.Load() && c.doubt.Load() == nil
}

// work returns how long a node probably works on the text, and sends the answer.
func (c *textCost) work() time.Duration { return time.Duration(c.expected.Load()) }

// Measure implements coalesce.Meter.
func (c *textCost) Measure(took time.Duration, size int, first bool) {
	huge := size > hugeRows
	if size > largestRows {
		size, took = largestRows, slowest
	}
	if took <= 0 || first && took > quickEnough && size < largestRows {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = true
	if took <= quickEnough {
		c.settle()
	}
	c.seen = min(c.seen+1, memory)
	c.average += (min(took, slowest) - c.average) / time.Duration(c.seen)
	c.size += (size - c.size) / c.seen
	c.calmLeft = max(c.calmLeft-1, 0)
	if c.quick.Load() && (huge || c.average > quickEnough || took > tooLong && time.Since(c.parted) > took) {
		c.part()
	}
	c.decide()
}

// loneCost is a textCost that learns from the answers to requests with nothing else.
type loneCost textCost

// Measure implements result.Meter.
func (c *loneCost) Measure(took time.Duration, size int) { (*textCost)(c).Measure(took, size, false) }

// openingCost is a loneCost where the node may have opened a connection.
type openingCost textCost

// Measure implements result.Meter.
func (c *openingCost) Measure(took time.Duration, size int) { (*textCost)(c).Measure(took, size, true) }

// wasSlow notes that a single execution was slow. partings is c.partings from before it left. Of many that are slow
// at the same time one counts.
func (c *textCost) wasSlow(partings int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.partings.Load() == partings {
		c.part()
	}
	c.decide()
}

// learn notes how a read ended that went by itself: that it was slow, or that it may have been. partings is c.partings
// from before.
func (c *textCost) learn(slow, doubtful bool, partings int64) {
	switch {
	case slow:
		c.wasSlow(partings)
	case doubtful:
		c.Doubt()
	}
}

// Slow implements coalesce.Meter. Of many that are slow at the same time one counts.
func (c *textCost) Slow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.quick.Load() && time.Since(c.parted) > tooLong {
		c.part()
	}
	c.decide()
}

// part makes the text go alone for a while. What is known of it by then does not count afterwards. The
// caller holds c.mu.
func (c *textCost) part() {
	if c.calmLeft == 0 {
		c.alone = 0
	}
	c.alone = min(max(2*c.alone, firstAlone), mostAlone)
	c.aloneLeft, c.calmLeft = c.alone, c.alone+calm
	c.seen, c.average = 0, 0
	c.parted = time.Now()
	c.partings.Add(1)
}

// Needed implements cluster.Needed for a read that goes alone. One that waited for its place need not if its text has
// become quick: it can go out with others.
func (c *textCost) Needed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isQuick() {
		return false
	}
	c.aloneLeft = max(c.aloneLeft-1, 0)
	c.decide()
	return true
}

// doubt is the time since nobody waited for the answer to a text to end, until a quick one comes. A few of its reads go
// alone meanwhile. The others wait for them, because more would make a busy node even busier.
type doubt struct {
	places chan struct{} // has a value for each read that goes alone
	over   chan struct{} // is closed at the end
}

// Doubt implements coalesce.Meter. The text goes alone until the next quick answer.
func (c *textCost) Doubt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.doubt.Load() == nil {
		c.doubt.Store(&doubt{make(chan struct{}, mostDoubted), make(chan struct{})})
	}
}

// settle ends a doubt. The caller holds c.mu.
func (c *textCost) settle() {
	if d := c.doubt.Load(); d != nil {
		c.doubt.Store(nil)
		close(d.over)
	}
}

// await waits until a read may go alone, but not for long, or until the doubt is over. The caller calls leave when the
// read has ended. It began to wait at begun. If reads is nil, await does not wait.
func (d *doubt) await(ctx context.Context, begun time.Time, reads *coalesce.Coalescer) (leave func()) {
	if reads == nil || !reads.Await(ctx, begun, d.places, d.over) {
		return func() {}
	}
	return func() { <-d.places }
}

// cannotBeSent notes that a node could not send the rows. The text goes alone from now on.
func (c *textCost) cannotBeSent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unsendable = true
	c.decide()
}

// decide sets quick and expected. The caller holds c.mu.
func (c *textCost) decide() {
	c.expected.Store(int64(c.average + perByte*time.Duration(c.size)))
	quick := c.known && c.average <= quickEnough && !c.unsendable && c.aloneLeft == 0
	if c.quick.Load() != quick {
		c.quick.Store(quick)
	}
}
