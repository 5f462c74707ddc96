package sqlerr

import "strings"

// BadTime begins the server's message for a row with a value that its time type cannot write. The
// statement has been carried out by then.
const BadTime = "Time.MarshalText: "

// BadTimeCure names these values, and the remedy.
const BadTimeCure = "the server cannot send what a column declared DATE, DATETIME or TIMESTAMP holds: " +
	"an integer from 253402300800 to 1000000000000 or below -62167219200, or a text with a year or an offset (24 hours) that is none; " +
	"ask for CAST(column AS TEXT) or CAST(column AS INTEGER) in its place, or declare another type"

// WithCure adds the remedy to a message of the server that begins with BadTime.
func WithCure(message string) string {
	if !strings.HasPrefix(message, BadTime) || strings.HasSuffix(message, BadTimeCure) {
		return message
	}
	return message + ": " + BadTimeCure
}
