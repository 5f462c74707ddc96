package result

// Outcome is what a statement of a batch gave.
type Outcome struct {
	LastInsertID int64
	RowsAffected int64
	Columns      []string
	Types        []string
	Rows         [][]any
	Err          error
}
