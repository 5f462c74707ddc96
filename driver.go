package rqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
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

// Open returns a connection of a connector of its own. database/sql never calls
// it: it calls OpenConnector.
func (d *Driver) Open(dsn string) (driver.Conn, error) {
	c, err := d.OpenConnector(dsn)
	if err != nil {
		return nil, err
	}
	return c.Connect(context.Background())
}

// OpenConnector parses a DSN and returns its connector. Nobody is contacted.
// Errors are those of [ParseDSN] and [NewConnector].
func (d *Driver) OpenConnector(dsn string) (driver.Connector, error) {
	cfg, err := ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	return NewConnector(cfg)
}
