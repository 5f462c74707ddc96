package rqlitetest

import (
	"net/http"
	"time"

	"github.com/go-rqlite/rqlite/rqlitetest/internal/rewrite"
)

// rewriteAll rewrites statements in place and marks those that return rows.
func rewriteAll(stmts []statement, opts rewrite.Options) error {
	for i := range stmts {
		out, err := rewrite.Process(stmts[i].sql, opts)
		if err != nil {
			return err
		}
		stmts[i].sql, stmts[i].returnsRows, stmts[i].explain = out.SQL, out.ReturnsRows, out.Explain
	}
	return nil
}

// rewritten rewrites statements, unless the request has noparse. On an error it sends the answer
// itself and returns false.
func rewritten(w http.ResponseWriter, p params, stmts []statement, opts rewrite.Options) bool {
	if p.has("noparse") {
		return true
	}
	if err := rewriteAll(stmts, opts); err != nil {
		http.Error(w, "SQL rewrite: "+err.Error(), http.StatusInternalServerError)
		return false
	}
	return true
}

// analyze answers with the rewritten statements. It does not run them.
func (f *front) analyze(w http.ResponseWriter, r *http.Request, p params) {
	type entry struct {
		Original  string `json:"original"`
		Rewritten string `json:"rewritten,omitempty"`
		Error     string `json:"error,omitempty"`
	}
	var body struct {
		Results []entry `json:"results"`
		Time    float64 `json:"time,omitempty"`
	}
	start := time.Now()
	stmts := []statement{{sql: p["q"]}}
	if r.Method == http.MethodPost {
		var ok bool
		if stmts, ok = statements(w, r, false); !ok {
			return
		}
	} else if p["q"] == "" {
		http.Error(w, "query not specified", http.StatusBadRequest)
		return
	}
	for _, stmt := range stmts {
		a, err := rewrite.Analyze(stmt.sql, p.rewriting())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		body.Results = append(body.Results, entry{stmt.sql, a.Rewritten, a.Problem})
	}
	body.Time = since(start, p.has("timings"))
	writeJSON(w, p, body)
}
