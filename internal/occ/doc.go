// Package occ lets writers notice each other: optimistic concurrency control by a version that every
// write moves. It has the version table, the statements that move the version around those of a
// program, the lock by which writers of one connector wait for each other, and the backoff between
// processes. docs/transactions.md tells how it is used, and why that is sound.
package occ
