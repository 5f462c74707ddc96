package result

// Outcome is the result of one statement of a batch.
type Outcome struct {
	LastInsertID int64
	RowsAffected int64
	Columns      []string
	Types        []string
	Rows         [][]any
	Err          error
}
