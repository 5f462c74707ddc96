package cdc

import (
	"testing"

	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/stretchr/testify/assert"
)

// The package knows nothing of the driver, except for the name of its table.
func TestVersionTableIsTheDrivers(t *testing.T) {
	t.Parallel()
	assert.Equal(t, occ.Table, versionTable)
}
