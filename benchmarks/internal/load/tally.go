package load

// Tally is what became of the rows that a client has inserted in its turns.
type Tally struct {
	Acknowledged int `json:"acknowledged"` // without an error
	Failed       int `json:"failed"`       // with one, which may have been applied
	Stored       int `json:"stored"`       // what is in the table
}

// Exact reports whether each row that was acknowledged is there once. What failed may
// be there or not.
func (t Tally) Exact() bool {
	return t.Acknowledged <= t.Stored && t.Stored <= t.Acknowledged+t.Failed
}
