package cluster

// The endpoints of rqlite for statements (https://rqlite.io/docs/api/api/).
const (
	ExecutePath = "/db/execute"
	QueryPath   = "/db/query"
	RequestPath = "/db/request"
)

// URL parameters.
const (
	// BlobsAsArrays asks for BLOBs as arrays: the other form, base64, cannot be told from text.
	BlobsAsArrays = "blob_array"
	// WriteParams are those of writes outside of transactions. The server would print a statement
	// anew in which it replaces time and random numbers, and does not always mean the same then: so
	// the driver replaces them itself.
	WriteParams = BlobsAsArrays + "&norwrandom&norwtime"
	// Transaction makes a request all or nothing. It stands behind other parameters.
	Transaction = "&transaction"
)

// The URL parameters of requests that a transaction writes by. Time and random numbers are literals by
// then, so that the server has nothing to rewrite, and only has to parse what it shall send the rows of
// RETURNING for.
const (
	UnparsedParams = BlobsAsArrays + "&noparse" + Transaction
	ParsedParams   = BlobsAsArrays + "&norwtime" + Transaction
	NoRandomParam  = "&norwrandom" // means the opposite in /db/request of some releases
)
