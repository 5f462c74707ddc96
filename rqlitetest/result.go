package rqlitetest

import (
	"encoding/json"
	"errors"
	"time"
)

// rowOptions select the form of rows.
type rowOptions struct {
	blobArray bool // blobs as arrays of numbers instead of base64
	qualify   bool // column names with their table
}

// result is the result of one statement: *rowsResult, *execResult or errorResult. associative
// returns its form with a JSON object for each row.
type result interface {
	json.Marshaler
	associative() any
}

// rowsResult is the result of a statement that was run for its rows. With an error it has no rows.
type rowsResult struct {
	columns, types []string
	values         [][]any
	err            string
	seconds        float64
}

// MarshalJSON omits empty members.
func (r *rowsResult) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Columns []string `json:"columns,omitempty"`
		Types   []string `json:"types,omitempty"`
		Values  [][]any  `json:"values,omitempty"`
		Error   string   `json:"error,omitempty"`
		Time    float64  `json:"time,omitempty"`
	}{r.columns, r.types, r.values, r.err, r.seconds})
}

func (r *rowsResult) associative() any {
	out := struct {
		Types map[string]string `json:"types,omitempty"`
		Rows  []map[string]any  `json:"rows"`
		Error string            `json:"error,omitempty"`
		Time  float64           `json:"time,omitempty"`
	}{make(map[string]string), make([]map[string]any, len(r.values)), r.err, r.seconds}
	for i, name := range r.columns {
		out.Types[name] = r.types[i]
	}
	for n, values := range r.values {
		row := make(map[string]any, len(values))
		for i, v := range values {
			row[r.columns[i]] = v
		}
		out.Rows[n] = row
	}
	return out
}

// execResult is the result of a statement that was run for its effect.
type execResult struct {
	written
	seconds float64
}

type execJSON struct {
	LastInsertID int64   `json:"last_insert_id,omitempty"`
	RowsAffected int64   `json:"rows_affected,omitempty"`
	Time         float64 `json:"time,omitempty"`
}

// MarshalJSON omits zero members.
func (r *execResult) MarshalJSON() ([]byte, error) {
	return json.Marshal(execJSON{r.lastInsertID, r.changes, r.seconds})
}

func (r *execResult) associative() any {
	return struct {
		execJSON
		Rows []map[string]any `json:"rows"` // null marks the result of a write
	}{execJSON{r.lastInsertID, r.changes, r.seconds}, nil}
}

// errorResult is the error of a statement that failed.
type errorResult string

// MarshalJSON writes {"error":"…"}.
func (r errorResult) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"error": string(r)})
}

func (r errorResult) associative() any { return r }

// response is the body of an answer of the database endpoints.
type response struct {
	results     []result
	associative bool
	err         string
	seconds     float64
	sequence    int64
	index       uint64
}

// MarshalJSON always writes results, and other members only if they are set. It fails for an
// infinite float, which JSON cannot represent.
func (r *response) MarshalJSON() ([]byte, error) {
	entries := make([]any, len(r.results))
	for i, res := range r.results {
		entries[i] = res
		if r.associative {
			entries[i] = res.associative()
		}
	}
	return json.Marshal(struct {
		Results  []any   `json:"results"`
		Error    string  `json:"error,omitempty"`
		Time     float64 `json:"time,omitempty"`
		Sequence int64   `json:"sequence_number,omitempty"`
		Index    uint64  `json:"raft_index,omitempty"`
	}{entries, r.err, r.seconds, r.sequence, r.index})
}

// unmarshalable returns the innermost error in those that json.Marshal wraps around the error of a
// MarshalJSON method.
func unmarshalable(err error) error {
	for {
		var wrapped *json.MarshalerError
		if !errors.As(err, &wrapped) {
			return err
		}
		err = wrapped.Err
	}
}

// since returns the seconds since start if timings are requested, else 0.
func since(start time.Time, timings bool) float64 {
	if !timings {
		return 0
	}
	return time.Since(start).Seconds()
}
