// Package txn has transactions on a database that has none. A transaction is a list of operations. Each
// gets its result by a trial, a request that is rolled back by its end, and one request applies all of
// them in the end. docs/transactions.md tells how, and why that is sound.
package txn
