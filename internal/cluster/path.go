package cluster

// The endpoints of rqlite for statements (https://rqlite.io/docs/api/api/).
const (
	ExecutePath = "/db/execute"
	QueryPath   = "/db/query"
	RequestPath = "/db/request"
)
