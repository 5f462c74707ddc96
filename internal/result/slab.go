package result

import (
	"database/sql/driver"
	"time"
	"unsafe"
)

// slab makes interfaces of values without an allocation for each: the values of many cells share
// one. A value of database/sql must not change while the program keeps it. So a slab is filled once
// and never reused. A program that keeps one value keeps its slab: at most 6 KiB and, for a text,
// the bytes of the other short ones in it.
type slab struct {
	ints   []int64
	floats []float64
	texts  []string
	times  []time.Time
	bytes  []byte
	size   int // number of values that the newest slabs have room for; grow changes it
}

const maxSlab = 256 // values; 4 KiB of string headers, 6 KiB of times

// grow returns the size of the next slab. It is small for a point query, and soon reaches its
// maximum for many rows.
func (s *slab) grow() int {
	s.size = min(max(4, 2*s.size), maxSlab)
	return s.size
}

func (s *slab) int64(n int64) driver.Value {
	if n >= 0 && n < 256 {
		return n // the runtime has interfaces of these already
	}
	return boxed(put(s, &s.ints, n))
}

func (s *slab) float64(f float64) driver.Value { return boxed(put(s, &s.floats, f)) }

func (s *slab) time(t time.Time) driver.Value { return boxedTime(put(s, &s.times, t)) }

// put copies a value to the next place of a slab, and returns the place.
func put[T any](s *slab, places *[]T, value T) *T {
	if len(*places) == 0 {
		*places = make([]T, s.grow())
	}
	p := &(*places)[0]
	*places = (*places)[1:]
	*p = value
	return p
}

// text returns a copy of b in an interface. Short texts share an allocation. A long one has its
// own, so that it is freed when nobody keeps it.
func (s *slab) text(b []byte) driver.Value {
	if len(b) > maxSlab {
		return string(b)
	}
	if len(b) > cap(s.bytes)-len(s.bytes) {
		s.bytes = make([]byte, 0, max(len(b), 16*max(s.size, 4)))
	}
	start := len(s.bytes)
	s.bytes = append(s.bytes, b...)
	return boxed(put(s, &s.texts, unsafe.String(unsafe.SliceData(s.bytes[start:]), len(b)))) // these bytes are never written again
}

// boxed returns an interface that holds *p without a copy. *p must not change any more.
func boxed[T int64 | float64 | string](p *T) driver.Value {
	var zero T // in an interface it costs nothing
	return boxedLike(zero, unsafe.Pointer(p))
}

// boxedTime is boxed for times, whose zero would cost an allocation.
func boxedTime(p *time.Time) driver.Value { return boxedLike(anyTime, unsafe.Pointer(p)) }

var anyTime driver.Value = time.Time{}

// boxedLike returns an interface with the type of value.
//
// An interface is a pointer to its type and one to its value. A conversion would allocate a copy
// for each value. Here p replaces the pointer to the value, and the garbage collector sees it like
// any other.
func boxedLike(value driver.Value, p unsafe.Pointer) driver.Value {
	(*[2]unsafe.Pointer)(unsafe.Pointer(&value))[1] = p
	return value
}
