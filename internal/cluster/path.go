package cluster

import (
	"strconv"
	"time"
)

// The endpoints of rqlite for statements (https://rqlite.io/docs/api/api/).
const (
	ExecutePath = "/db/execute"
	QueryPath   = "/db/query"
	RequestPath = "/db/request"
)

// URL parameters.
const (
	// BlobsAsArrays asks for BLOBs as arrays. The other form, base64, cannot be told from text.
	BlobsAsArrays = "blob_array"
	// WriteParams are those of writes outside of transactions. When the server replaces time and
	// random numbers, it prints the statement anew, which may change its meaning. So the driver
	// replaces them itself.
	WriteParams = BlobsAsArrays + "&norwrandom&norwtime"
	// Transaction makes a request all or nothing. It stands behind other parameters.
	Transaction = "&transaction"
)

// The URL parameters of the requests of a transaction that writes. Time and random numbers are
// literals by then, so that the server has nothing to rewrite. It parses only the statements whose
// rows of RETURNING it has to send.
const (
	UnparsedParams = BlobsAsArrays + "&noparse" + Transaction
	ParsedParams   = BlobsAsArrays + "&norwtime" + Transaction
	NoRandomParam  = "&norwrandom" // means the opposite in /db/request of some releases
)

// WithDeadline returns the parameters of a read whose caller waits until the deadline: the node
// need not work any longer. A zero deadline changes nothing. A write must not have this parameter:
// it would be replicated, and each node would measure for itself.
func WithDeadline(params string, deadline time.Time) string {
	if deadline.IsZero() {
		return params
	}
	return params + "&db_timeout=" + strconv.FormatInt(max(time.Until(deadline).Milliseconds(), 1), 10) + "ms"
}
