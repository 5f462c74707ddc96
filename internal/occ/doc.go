// Package occ lets writers notice each other. It is optimistic concurrency control by a version
// that every write moves. It holds the version table, the statements that move the version around
// those of a program, the lock by which the writers of one connector wait for each other, and the
// backoff between processes. docs/transactions.md explains how they are used, and why that is
// sound.
package occ
