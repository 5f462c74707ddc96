package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCDC(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out))
	require.Equal(t, `INSERT orders 1: new
INSERT orders 2: new
INSERT orders 3: new
UPDATE orders 1: new -> paid
UPDATE orders 1: paid -> sent
DELETE orders 2: new
`, out.String())
}
