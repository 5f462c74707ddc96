// Package txn implements transactions on a database that has none. A transaction is a list of
// operations. Each operation gets its result from a trial, a request that is rolled back by its
// end. The commit is one request that applies all of them. docs/transactions.md explains how, and
// why that is sound.
package txn
