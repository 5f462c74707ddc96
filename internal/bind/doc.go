// Package bind deals values to the statements of a script, and encodes both as elements of a
// request. It does no I/O.
package bind
