package autocommit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-rqlite/rqlite/internal/wire"
)

const (
	// quickEnough is how long a node may work on a statement for it to go out with others, which wait for
	// it. A point read takes it some 20 µs.
	quickEnough = time.Millisecond
	// memory is how many answers an average is about, and how many may be slow before a text no longer
	// counts as quick.
	memory = 16
	// slowest bounds the weight of a single answer in the average. On a busy machine any statement
	// takes long now and then. So one such answer does not make a quick text slow, but two among a
	// few do.
	slowest = 10 * quickEnough
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
	firstAlone = 8
	mostAlone  = 4096
	calm       = 256

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
//
// A text goes out with others if it can be quick, which the quickest of its last answers shows. The average would
// not: the node opens a connection for the first statement of a request if it has none to spare, and SQLite reads
// the whole schema then. Where many single reads are under way, that makes most of them slow. What stands behind
// other statements of its request pays for none of it, and shows that the text is slow.
type textCost struct {
	text    string            // never changes
	columns wire.KnownColumns // of its answers; guards itself

	quick    atomic.Bool  // it may go out with others; set under mu
	partings atomic.Int64 // calls of part; set under mu
	expected atomic.Int64 // how long others wait for it, on average; set under mu

	// mu guards the rest.
	mu         sync.Mutex
	chances    int           // answers that may be slow before it no longer counts as quick
	last       time.Duration // of the last quick answer
	behind     average       // that a node works on it behind other statements, since it was parted
	sizes      average       // of its answers, since it was parted
	unsendable bool          // its rows may have an infinite REAL, and take the answers of others along
	parted     time.Time     // when part was called last
	alone      int           // how many times it had to go alone last, up to mostAlone; 0 before
	aloneLeft  int           // how many times it still has to
	calmLeft   int           // answers until alone is forgotten
}

// average is that of the last values.
type average struct{ count, value int64 } // count is up to memory

func (a *average) add(value int64) {
	a.count = min(a.count+1, memory)
	a.value += (value - a.value) / a.count
}

// isQuick reports whether the text may go out with others. It may not before its first answer.
func (c *textCost) isQuick() bool { return c != nil && c.quick.Load() }

// work returns how long a node probably works on the text, and sends the answer.
func (c *textCost) work() time.Duration { return time.Duration(c.expected.Load()) }

// Measure implements coalesce.Meter.
func (c *textCost) Measure(took time.Duration, size int, first bool) {
	huge := size > hugeRows
	if size > largestRows {
		size, took = largestRows, slowest
	}
	if took <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sizes.add(int64(size))
	if c.chances = max(c.chances-1, 0); took <= quickEnough {
		c.chances, c.last = memory, took
	}
	c.calmLeft = max(c.calmLeft-1, 0)
	slow := huge
	if !first {
		c.behind.add(int64(min(took, slowest)))
		slow = slow || c.behind.value > int64(quickEnough) || took > tooLong && time.Since(c.parted) > took
	}
	if slow && c.quick.Load() {
		c.part()
	}
	c.decide()
}

// loneCost is a textCost that learns from the answers to requests with nothing else.
type loneCost textCost

// Measure implements result.Meter.
func (c *loneCost) Measure(took time.Duration, size int) { (*textCost)(c).Measure(took, size, true) }

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

// Slow implements coalesce.Meter. Of many that are slow at the same time one counts, until the text is quick again.
func (c *textCost) Slow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.quick.Load() {
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
	c.chances = min(c.chances, 1)
	c.behind, c.sizes = average{}, average{}
	c.parted = time.Now()
	c.partings.Add(1)
}

// Needed implements cluster.Needed. It notes that the text goes alone, unless it has become quick: many that wait for
// a place alone can go together then.
func (c *textCost) Needed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.quick.Load() {
		return false
	}
	c.aloneLeft = max(c.aloneLeft-1, 0)
	c.decide()
	return true
}

// Doubt implements coalesce.Meter. The text goes alone until the next quick answer.
func (c *textCost) Doubt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.chances, c.behind, c.sizes = 0, average{}, average{}
	c.decide()
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
	took := int64(c.last)
	if c.behind.count > 0 {
		took = c.behind.value
	}
	c.expected.Store(took + int64(perByte)*c.sizes.value)
	quick := c.chances > 0 && !c.unsendable && c.aloneLeft == 0
	if c.quick.Load() != quick {
		c.quick.Store(quick)
	}
}
