// Package lab holds what the benchmarks and the report share: the server, the
// tables, the clients, and what each of them does in each scenario.
package lab
