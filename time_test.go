package rqlite

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTimeScan(t *testing.T) {
	t.Parallel()
	utc := time.Date(2024, 2, 29, 1, 2, 3, 0, time.UTC)
	for _, test := range []struct {
		value any
		want  time.Time
	}{
		{utc, utc},
		{"2024-02-29 01:02:03", utc},
		{"2024-02-29T01:02:03", utc},
		{"2024-02-29T01:02:03Z", utc},
		{"2024-02-29 01:02:03Z", utc},
		{[]byte("2024-02-29 01:02:03.004"), utc.Add(4 * time.Millisecond)},
		{"2024-02-29 03:02:03.000000005+02:00", utc.Add(5)},
		{"2024-02-29T03:02+02:00", utc.Truncate(time.Minute)},
		{"2024-02-29 01:02", utc.Truncate(time.Minute)},
		{"2024-02-29", utc.Truncate(24 * time.Hour)},
		{utc.Unix(), utc},
		{int64(-1), time.Unix(-1, 0)},
		{int64(1_000_000_000_000), time.Unix(1_000_000_000_000, 0)},
		{utc.UnixMilli(), utc},
		{int64(-1_000_000_000_001), time.UnixMilli(-1_000_000_000_001)},
	} {
		var got Time
		require.NoError(t, got.Scan(test.value), "%v", test.value)
		assert.True(t, got.Valid)
		assert.True(t, test.want.Equal(got.Time), "%v: %v", test.value, got.Time)
		assert.NotEqual(t, time.Local.String(), got.Time.Location().String())
	}
}

func TestTimeNull(t *testing.T) {
	t.Parallel()
	got := Time{time.Now(), true}
	for _, bad := range []any{"", "yesterday", "2024-02-30", "2024-02-29 01:02:03 and more", 1.5, true} {
		before := got
		require.Error(t, got.Scan(bad), "%v", bad)
		assert.Equal(t, before, got)
	}
	value, err := got.Value()
	require.NoError(t, err)
	assert.Equal(t, got.Time, value)
	require.NoError(t, got.Scan(nil))
	assert.Equal(t, Time{}, got)
	value, err = got.Value()
	require.NoError(t, err)
	assert.Nil(t, value)
}
