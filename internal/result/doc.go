// Package result turns what rqlite sends of a result set into values of database/sql, and remembers
// what a program has seen of one.
package result
