// Package wire encodes the requests and decodes the responses of rqlite's HTTP API. It takes bytes
// and returns bytes, and does no I/O of its own. Of database/sql it knows only the six types of a
// driver.Value.
//
// A request body is a JSON array with one element for each statement
// (https://rqlite.io/docs/api/api/#parameterized-statements). A response is an object whose
// "results" array has one entry for each statement. [Decoder] reads it from a stream, row by row,
// so its memory does not grow with the number of rows.
package wire
