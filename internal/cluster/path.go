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
