package rqlitetest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

var errBackupFormat = errors.New("invalid backup format")

// backup answers with the database, as an SQLite file or as SQL text.
func (f *front) backup(w http.ResponseWriter, r *http.Request, p params) {
	format := strings.ToLower(p["fmt"]) // any other value means binary
	contentType := "application/octet-stream"
	if format == "sql" {
		contentType = "application/sql"
	}
	w.Header().Set("Content-Type", contentType)
	var body bytes.Buffer
	_, err := f.node.do(r.Context(), f.call(r, p, func(n *node) (err error) {
		if p.has("vacuum") && (format == "sql" || format == "delete") {
			return errBackupFormat
		}
		if !p.has("noleader") && !n.leads() {
			return errNotLeader
		}
		body.Reset()
		if format == "sql" {
			return n.dump(r.Context(), &body, p["tables"])
		}
		image, err := n.image(p.has("vacuum"), format == "delete")
		_, _ = body.Write(image)
		return err
	}, "backup"))
	if f.failed(w, r, "backup", err) {
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if !p.has("compress") {
		_, _ = body.WriteTo(w)
		return
	}
	zip := gzip.NewWriter(w)
	_, _ = body.WriteTo(zip)
	_ = zip.Close()
}

// image returns the database as a file, either vacuumed or page by page. The database is in WAL
// mode, and so is the file unless deleteMode is set.
func (n *node) image(vacuumed, deleteMode bool) ([]byte, error) {
	if vacuumed {
		return n.group.store.vacuumed()
	}
	from := n.source()
	c, err := from.get()
	if err != nil {
		return nil, err
	}
	defer from.put(c)
	image, err := c.serialize()
	if err != nil {
		return nil, err
	}
	if deleteMode {
		image[18], image[19] = 1, 1 // versions of the file format for writers and readers; 2 is WAL
		return image, nil
	}
	n.snapshot.Store(n.group.store.index.Load()) // the real server makes a snapshot first
	return image, nil
}

// vacuumed returns a copy of the database after a VACUUM.
func (s *store) vacuumed() (_ []byte, err error) {
	c, err := s.readers.Load().open() // a connection that may write, to another file only
	if err != nil {
		return nil, err
	}
	defer c.close()
	dir, err := os.MkdirTemp(filepath.Dir(s.path), "vacuum-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "db.sqlite")
	if _, err := c.exec(context.Background(), "VACUUM INTO ?", []param{{value: path}}); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// dump writes the database as SQL: first the tables, by name or as listed in tables with commas,
// then all other objects.
func (n *node) dump(ctx context.Context, w io.Writer, tables string) error {
	from := n.source()
	c, err := from.get()
	if err != nil {
		return err
	}
	defer from.put(c)
	tx, err := c.begin(true)
	if err != nil {
		return err
	}
	defer tx.rollback()

	wanted := map[string]bool{}
	for name := range strings.SplitSeq(tables, ",") {
		if name = strings.TrimSpace(name); name != "" {
			wanted[name] = true
		}
	}
	rows, err := c.strings(ctx, "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql NOT NULL ORDER BY name")
	if err != nil {
		return err
	}
	fmt.Fprint(w, "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n")
	for _, row := range rows {
		if len(wanted) == 0 || wanted[row[0]] {
			if err := c.dumpTable(ctx, w, row[0], row[1]); err != nil {
				return err
			}
		}
	}
	rows, err = c.strings(ctx, "SELECT sql FROM sqlite_schema WHERE sql NOT NULL AND type IN ('index', 'trigger', 'view')")
	if err != nil {
		return err
	}
	for _, row := range rows {
		fmt.Fprintf(w, "%s;\n", row[0])
	}
	fmt.Fprint(w, "COMMIT;\n")
	return nil
}

// dumpTable writes a table with its rows. Like the real server it writes two semicolons after the
// statement for SQLite's own tables.
func (c *conn) dumpTable(ctx context.Context, w io.Writer, name, definition string) error {
	switch {
	case name == "sqlite_sequence":
		definition = `DELETE FROM "sqlite_sequence";`
	case name == "sqlite_stat1":
		definition = `ANALYZE "sqlite_master";`
	case strings.HasPrefix(name, "sqlite_"):
		return nil
	}
	fmt.Fprintf(w, "%s;\n", definition)
	columns, err := c.strings(ctx, "SELECT name FROM pragma_table_info(?)", name)
	if err != nil {
		return err
	}
	quoted := make([]string, len(columns))
	for i, column := range columns {
		quoted[i] = "quote(" + quoteName(column[0]) + ")"
	}
	rows, err := c.strings(ctx, "SELECT "+strings.Join(quoted, ", ")+" FROM "+quoteName(name))
	if err != nil {
		return err
	}
	for _, row := range rows {
		fmt.Fprintf(w, "INSERT INTO %s VALUES(%s);\n", quoteName(name), strings.Join(row, ","))
	}
	return nil
}

// strings returns the rows of a query whose values are all text.
func (c *conn) strings(ctx context.Context, text string, args ...string) ([][]string, error) {
	var params []param
	for _, arg := range args {
		params = append(params, param{value: arg})
	}
	rows, err := c.query(ctx, text, params, rowOptions{})
	if err != nil {
		return nil, err
	}
	out := make([][]string, len(rows.values))
	for i, row := range rows.values {
		for _, v := range row {
			s, ok := v.(string)
			if !ok {
				return nil, fmt.Errorf("rqlite: the embedded server got a %T where there is only text", v)
			}
			out[i] = append(out[i], s)
		}
	}
	return out, nil
}

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
