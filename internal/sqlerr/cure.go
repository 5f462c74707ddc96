package sqlerr

import "strings"

// BadTime begins what the server says of a statement with a value among its rows that its time
// type cannot write. It says so when the statement has been carried out.
const BadTime = "Time.MarshalText: "

// BadTimeCure says which values they are, and what to do.
const BadTimeCure = "the server cannot send what a column declared DATE, DATETIME or TIMESTAMP holds: " +
	"an integer from 253402300800 to 1000000000000 or below -62167219200, or a text with a year or an offset (24 hours) that is none; " +
	"ask for CAST(column AS TEXT) or CAST(column AS INTEGER) in its place, or declare another type"

// WithCure adds to the message of the server what its reader can do about it.
func WithCure(message string) string {
	if !strings.HasPrefix(message, BadTime) || strings.HasSuffix(message, BadTimeCure) {
		return message
	}
	return message + ": " + BadTimeCure
}
