// Package result turns the result sets that rqlite sends into values of database/sql, and remembers
// how much of one a program has seen.
package result
