// Package benchmarks measures the driver next to the bare HTTP request and to
// gorqlite, in one run and against one server. README.md says how to run it and
// what the numbers mean; the benchmarks themselves are in its test files.
//
// Sub-benchmarks are named "client=…", so that benchstat -col /client sets the
// clients side by side. The client "bare" sends the request that the driver sent,
// byte for byte, with net/http alone, and does not look at the answer: it is the floor.
package benchmarks
