// Package sqlerr holds the errors of the driver's inner packages: failures of statements with the
// result codes of SQLite, answers of the cluster that say nothing about the statements, and the
// kinds of failure that a program can test for. Package rqlite makes them public, in one place.
package sqlerr
