package cluster

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLimit(t *testing.T) {
	t.Parallel()
	l := NewLimit(4, 64)
	ended := func(times int, cutOff ...bool) int {
		for range times {
			for _, c := range cutOff {
				l.Ended(c)
			}
		}
		return l.Now()
	}
	assert.Equal(t, 64, ended(1000, false))
	assert.Equal(t, 64, ended(1000, false, false, false, true), "few are cut off")
	assert.Less(t, ended(40, false, false, true), 64)
	assert.Equal(t, 4, ended(1000, true))
	assert.Equal(t, 64, ended(1000, false), "it rises again")

	none := NewLimit(4, 0)
	none.Ended(false)
	assert.Zero(t, none.Now())
}
