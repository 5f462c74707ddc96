// Package wire encodes the requests and decodes the responses of rqlite's HTTP
// API. It is bytes in, bytes out: it opens no connection and knows no Go value
// of database/sql beyond the six types a driver is handed.
//
// A request body is a JSON array with one element for each statement
// (https://rqlite.io/docs/api/api/#parameterized-statements). A response is an
// object whose "results" array has one entry for each statement; [Decoder]
// reads it from a stream, a row at a time, so that memory stays flat however
// many rows there are.
package wire
