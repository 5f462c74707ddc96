// Package integration holds the tests of the driver against running servers.
// It exports nothing; everything is in its test files.
//
// Every test runs on every backend there is:
//
//   - embedded: package rqlitetest, in the test process. Always there.
//   - process: an rqlited that the tests start, from RQLITED_BIN or the PATH. Command
//     releases runs the suite on several, which RQLITED_BINS lists; by itself, go test
//     uses that list for the test of upgrades only.
//   - container: an rqlite container, if Docker can be had, and one more of each
//     other release. RQLITE_IMAGES lists the images, "rqlite/rqlite:10.2.7,rqlite/rqlite:9.4.5,
//     rqlite/rqlite:8.43.4" unless it is set; RQLITE_IMAGE names a single one. The
//     first is the one of which there are clusters.
//   - dsn: the cluster that RQLITE_DSN points to. The tests create tables there
//     and drop them at the end. Its user needs all permissions.
//
// RQLITE_BACKENDS, a list such as "embedded,process", chooses among them. What
// is not there is skipped, and a summary at the end says what and why: "go test"
// in this directory shows it, while "go test ./..." does so with -v only.
// RQLITE_LIVE=1 makes it a failure if there is none but the embedded one, or if
// one that RQLITE_BACKENDS names is missing; RQLITE_LIVE=0 runs the embedded one
// alone.
//
// The tests of faults have clusters of their own, of three voters and a read-only
// node, as processes and, some of them, as containers. A proxy stands before each
// node, and the tests kill, pause, restart and cut off nodes. They take a quarter of
// a minute each; RQLITE_SOAK=1 makes it a minute, and a duration such as 10m as
// long as it says. The summary at the end has their figures.
//
// RQLITE_SEED changes the seed of the generated tests, which they print, and
// RQLITE_ROUNDS how many of them there are. RQLITE_PROGRAMS is the number of those
// about the modes of transactions, and RQLITE_MODES, a list such as "auto,pipelined",
// the modes in which they run.
package integration
