package rqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

func init() {
	sql.Register("rqlite", &Driver{})
}

var (
	_ driver.Driver        = (*Driver)(nil)
	_ driver.DriverContext = (*Driver)(nil)
)

// Driver is the database/sql driver that is registered as "rqlite".
type Driver struct{}

// Open returns a connection with a connector of its own, which is closed with it. database/sql
// calls OpenConnector instead; wrappers of drivers may call Open.
func (d *Driver) Open(dsn string) (driver.Conn, error) {
	c, err := d.OpenConnector(dsn)
	if err != nil {
		return nil, err
	}
	inner, err := c.Connect(context.Background())
	if err != nil {
		return nil, err
	}
	return lone{inner.(*conn)}, nil
}

// lone is a connection that owns its connector.
type lone struct{ *conn }

// Close implements driver.Conn.
func (l lone) Close() error { return errors.Join(l.conn.Close(), l.connector.Close()) }

// OpenConnector parses a DSN and returns its connector. It sends nothing. Its errors are those of
// [ParseDSN] and [NewConnector].
func (d *Driver) OpenConnector(dsn string) (driver.Connector, error) {
	cfg, err := ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	return NewConnector(cfg)
}
