package autocommit

import (
	"context"
	"errors"
	"testing"

	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What an error says of a statement that was not applied does not hold of a script of which a part
// was.
func TestInScript(t *testing.T) {
	t.Parallel()
	for _, kept := range []error{sqlerr.ErrIndeterminate, context.Canceled, context.DeadlineExceeded} {
		err := inScript(sqlerr.Of(kept, errors.New("why")), 1, 2)
		require.ErrorIs(t, err, kept)
		require.ErrorContains(t, err, "statement 2 of 2")
	}
	assert.ErrorIs(t, inScript(sqlerr.ErrNoLeader, 0, 2), sqlerr.ErrNoLeader, "nothing came before it")
	assert.NotErrorIs(t, inScript(sqlerr.ErrNoLeader, 1, 2), sqlerr.ErrNoLeader)
}
