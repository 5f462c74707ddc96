package rqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// errNoTx is what BeginTx returns. A transaction that did nothing would be worse.
var errNoTx = fmt.Errorf("rqlite: interactive transactions are not available in this version; "+
	"use a Batch with Atomic set for writes that belong together: %w", errors.ErrUnsupported)

// Begin implements driver.Conn.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx refuses to begin a transaction.
func (*conn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) { return nil, errNoTx }
