package occ

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// In the course of a round the tokens of every epoch are removed, and none of those that are kept.
func TestPrunedRanges(t *testing.T) {
	t.Parallel()
	const perRound = 1 << roundBits
	bounds := regexp.MustCompile(`k>=(\d+) AND k<(\d+)`)
	version := lowestVersion>>(slotsFrom-1)<<(slotsFrom-1) + 7
	begin := epochBegin(version, 0)
	removed := make(map[int64]bool)
	for epoch := range int64(perRound) {
		at := version>>epochBits - (version>>epochBits)%perRound + epoch
		text := (&Token{version: at << epochBits}).pruneText()
		found := bounds.FindStringSubmatch(text)
		require.NotNil(t, found, text)
		var span [2]int64
		for i := range span {
			k, err := strconv.ParseInt(found[i+1], 10, 64)
			require.NoError(t, err)
			span[i] = (k - begin) >> slotBits
		}
		for pruned := span[0]; pruned < span[1]; pruned++ {
			removed[pruned] = true
			age := (epoch - pruned + perRound) % perRound
			if age < keptEpochs {
				require.Fail(t, "a token is removed too early", fmt.Sprint(epoch, pruned))
			}
		}
	}
	assert.Equal(t, perRound, len(removed))
}
