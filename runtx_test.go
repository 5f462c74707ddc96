//go:build go1.25

package rqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ender is a database whose transactions end as they are told to.
type ender struct {
	driver.Conn
	ends       []error // of Commit, one after the other
	rolledBack int
}

func (e *ender) Connect(context.Context) (driver.Conn, error) { return e, nil }
func (e *ender) Driver() driver.Driver                        { return nil }
func (e *ender) Begin() (driver.Tx, error)                    { return e, nil }
func (e *ender) Close() error                                 { return nil }
func (e *ender) Rollback() error                              { e.rolledBack++; return nil }

func (e *ender) Commit() error {
	end := e.ends[0]
	e.ends = e.ends[1:]
	return end
}

var (
	errTestConflict = sqlerr.Of(sqlerr.ErrTxConflict, sqlerr.New("a test", -1, 0))
	errTestUnknown  = sqlerr.Of(ErrIndeterminate, errors.New("a test"))
)

func TestRunTx(t *testing.T) {
	t.Parallel()
	failure := errors.New("of fn")
	for name, test := range map[string]struct {
		fn   []error // what fn returns, one after the other
		ends []error // of Commit
		runs int
		err  error
	}{
		"success":                      {[]error{nil}, []error{nil}, 1, nil},
		"a conflict at the commit":     {[]error{nil, nil, nil}, []error{errTestConflict, errTestConflict, nil}, 3, nil},
		"a conflict in fn":             {[]error{errTestConflict, nil}, []error{nil}, 2, nil},
		"a failure of fn":              {[]error{failure}, nil, 1, failure},
		"a failure after a conflict":   {[]error{nil, failure}, []error{errTestConflict}, 2, failure},
		"an unknown outcome":           {[]error{nil}, []error{errTestUnknown}, 1, ErrIndeterminate},
		"one after a conflict":         {[]error{nil, nil}, []error{errTestConflict, errTestUnknown}, 2, ErrIndeterminate},
		"unknown and conflict at once": {[]error{errors.Join(errTestUnknown, errTestConflict)}, nil, 1, ErrIndeterminate},
		"committed, but differently":   {[]error{nil}, []error{sqlerr.Told(errors.New("a test"), sqlerr.ErrResultsChanged)}, 1, ErrResultsChanged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := &ender{ends: test.ends}
				db := sql.OpenDB(e)
				defer db.Close()
				runs := 0
				err := RunTx(context.Background(), db, nil, func(*sql.Tx) error {
					runs++
					return test.fn[runs-1]
				})
				require.ErrorIs(t, err, test.err)
				assert.Equal(t, test.runs, runs)
				assert.Empty(t, e.ends)
				assert.Zero(t, db.Stats().InUse)
			})
		})
	}
}

// Without an end of the conflicts, the context's is that of RunTx, which tells both.
func TestRunTxGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := sql.OpenDB(&ender{})
		defer db.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		runs := 0
		begun := time.Now()
		err := RunTx(ctx, db, nil, func(*sql.Tx) error {
			runs++
			return errTestConflict
		})
		require.ErrorIs(t, err, ErrTxConflict)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 2*time.Second, time.Since(begun))
		assert.True(t, runs > 8 && runs < 40, "the pauses grow up to a bound: %d runs", runs)
	})
}

func TestRunTxPanics(t *testing.T) {
	t.Parallel()
	e := &ender{}
	db := sql.OpenDB(e)
	defer db.Close()
	assert.PanicsWithValue(t, "of fn", func() {
		_ = RunTx(context.Background(), db, nil, func(*sql.Tx) error { panic("of fn") })
	})
	assert.Equal(t, 1, e.rolledBack)
	assert.Zero(t, db.Stats().InUse, "the connection is free")
}
