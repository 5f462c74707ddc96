// Package dialect has the tests of module gormrqlite that need a server. They are not in the
// module itself, so that a program that uses it downloads neither the embedded server nor its
// SQLite.
package dialect
