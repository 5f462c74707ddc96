package rqlite_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
)

// dsn is the data source name of the examples that run. Its node knows the answers to their
// statements by heart. Programs write rqlite://user:password@host:4001 there.
var dsn = exampleNode() + "/?txversion=false"

// exampleNode starts the node and returns its URL.
func exampleNode() string {
	answers := [][2]string{
		{"SELECT name, mass", `{"columns":["name","mass"],"types":["text","real"],"values":[["Europa",4.8e22],["Io",8.93e22]]}`},
		{"SELECT count(*)", `{"columns":["count(*)"],"types":["integer"],"values":[[2]]}`},
		{"SELECT max(found)", `{"columns":["max(found)"],"types":["text"],"values":[["1892-09-09 00:00:00"]]}`},
		{"VALUES ('Io')", `{"error":"UNIQUE constraint failed: moons.name"}`},
		{"UPDATE moons", `{"rows_affected":1},{"last_insert_id":4,"rows_affected":1}`},
		{"INSERT INTO moons(name)", `{"last_insert_id":3,"rows_affected":1}`},
		{"", `{"columns":["none"],"types":[""]}`},
	}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Rqlite-Version", "v10.2.7")
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		if r.URL.Path == "/db/backup" {
			_, _ = io.WriteString(w, "BEGIN TRANSACTION;\nCOMMIT;\n")
			return
		}
		known := slices.IndexFunc(answers, func(a [2]string) bool { return strings.Contains(string(body), a[0]) })
		_, _ = io.WriteString(w, `{"results":[`+answers[known][1]+`]}`)
	})).URL
}
