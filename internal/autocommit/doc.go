// Package autocommit carries out statements outside of transactions. It chooses their requests,
// adds the driver's own statements around them, and makes up for a server that would not do what
// SQLite does.
package autocommit
