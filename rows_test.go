package rqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Rows are there as soon as the server has sent them, one by one.
func TestRowsStream(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]string{"read": "SELECT a FROM t", "write": "DELETE FROM t RETURNING a"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := make(chan string, 1)
			s := step{path: cluster.QueryPath, params: "*", serve: pieces(stream)}
			if name == "write" {
				s.path = cluster.ExecutePath
			}
			stream <- `{"results":[{"columns":["a"],"types":["integer"],"values":[`
			rows, err := newFake(t, s).open("").Query(query)
			require.NoError(t, err)
			defer rows.Close()
			for i := range 5 {
				piece := fmt.Sprintf("[%d]", i)
				if i > 0 {
					piece = "," + piece
				}
				// The row is complete, but it takes a byte more to know that it is.
				stream <- piece[:len(piece)-1]
				stream <- piece[len(piece)-1:]
				require.True(t, rows.Next())
				n := -1
				require.NoError(t, rows.Scan(&n))
				assert.Equal(t, i, n)
			}
			stream <- `]}]}`
			close(stream)
			assert.False(t, rows.Next())
			require.NoError(t, rows.Err())
		})
	}
}

// A program may change the names that it gets. They are not those of the next answer to the text.
func TestRowsColumnsBelongToProgram(t *testing.T) {
	t.Parallel()
	read := step{path: cluster.QueryPath, params: "*", reply: `{"results":[{"columns":["a","b"],"types":["integer","text"],"values":[[1,"x"]]}]}`}
	db := newFake(t, read, read, read).open("")
	for range 3 {
		rows, err := db.Query("SELECT a, b FROM t")
		require.NoError(t, err)
		defer rows.Close()
		for range 2 {
			columns, err := rows.Columns()
			require.NoError(t, err)
			assert.Equal(t, []string{"a", "b"}, columns)
			columns[0], columns[1] = "changed", "too"
		}
	}
}

// stuck answers with a beginning, and leaves the rest to wait for.
func stuck(path, beginning string) step {
	stream := make(chan string, 1)
	stream <- beginning
	return step{path: path, params: "*", serve: pieces(stream)}
}

// The time-out of the connection bounds the wait for an answer, not the reading.
func TestRowsOutliveTheTimeout(t *testing.T) {
	t.Parallel()
	for path, query := range map[string]string{cluster.QueryPath: "SELECT a FROM t", cluster.ExecutePath: "DELETE FROM t RETURNING a"} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			stream := make(chan string, 1)
			stream <- `{"results":[{"columns":["a"],"types":["integer"],"values":[[1]`
			rows, err := newFake(t, step{path: path, params: "*", serve: pieces(stream)}).open("timeout=" + soon.String()).Query(query)
			require.NoError(t, err)
			defer rows.Close()
			require.True(t, rows.Next())
			<-time.After(2 * soon) // what is tested is that time passes
			stream <- `,[2]]}]}`
			close(stream)
			require.True(t, rows.Next(), "%v", rows.Err())
			assert.False(t, rows.Next())
			require.NoError(t, rows.Err())
		})
	}
}

// An answer that is not read to its end is cut off, whatever ended the reading:
// the fake fails the test for a connection that stays open.
func TestAnswersAreClosed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	t.Run("Exec", func(t *testing.T) {
		t.Parallel()
		_, err := newFake(t, stuck(cluster.ExecutePath, `{"results":[{},{}`)).open("").ExecContext(ctx, "DELETE FROM t")
		require.ErrorIs(t, err, ErrIndeterminate)
	})
	t.Run("Batch", func(t *testing.T) {
		t.Parallel()
		b := Batch{}
		b.Add("DELETE FROM t")
		_, err := b.Exec(ctx, newFake(t, stuck(cluster.ExecutePath, `{"results":[{},{}`)).open(""))
		require.ErrorIs(t, err, ErrIndeterminate)
	})
	for name, query := range map[string]string{"Query": "SELECT 1", "the schema check": "SELECT * FROM t"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newFake(t, stuck(cluster.QueryPath, `{"results":[{"error":"disk I/O error"}`)).open("").QueryContext(ctx, query)
			require.ErrorIs(t, err, IOError)
		})
	}
	t.Run("a script that fails later", func(t *testing.T) {
		t.Parallel()
		f := newFake(t, stuck(cluster.QueryPath, `{"results":[{"columns":["a"],"types":[""],"values":[[1]`), writes("", results(`{"error":"no such table: t"}`)))
		_, err := f.open("").QueryContext(ctx, "SELECT 1; DELETE FROM t")
		require.EqualError(t, err, "rqlite: statement 2 of 2: no such table: t")
	})
	t.Run("NextResultSet", func(t *testing.T) {
		t.Parallel()
		f := newFake(t, stuck(cluster.QueryPath, `{"results":[{"columns":["a"],"types":[""],"values":[[1]`), writes("", results(one)))
		rows, err := f.open("").QueryContext(ctx, "SELECT 1; DELETE FROM t RETURNING id")
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.True(t, rows.NextResultSet())
		assert.Equal(t, [][]any{{int64(1)}}, scanAll(t, rows))
		require.NoError(t, rows.Close())
	})
}

// Each result set is read by its own declared types.
func TestRowsTypesOfEachSet(t *testing.T) {
	t.Parallel()
	f := newFake(t, reads("", results(table("a datetime,b text", `["2024-02-29T01:02:03Z","x"]`), table("a text", `["2024"]`), table("a real,b text", `[1,"1"]`))))
	rows, err := f.open("").Query("SELECT 1; SELECT 2; SELECT 3")
	require.NoError(t, err)
	defer rows.Close()
	assert.Equal(t, [][][]any{{{time.Date(2024, 2, 29, 1, 2, 3, 0, time.UTC), "x"}}, {{"2024"}}, {{1.0, "1"}}}, allSets(t, rows))
	require.NoError(t, rows.Err())
}

// A context that ends while rows are read ends the reading.
func TestRowsCancelled(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		path, query string
		is, not     error
	}{
		{cluster.QueryPath, "SELECT a FROM t", context.Canceled, ErrRowsLost},
		{cluster.ExecutePath, "DELETE FROM t RETURNING a", ErrRowsLost, ErrIndeterminate},
	} {
		t.Run(test.query, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			f := newFake(t, stuck(test.path, `{"results":[{"columns":["a"],"types":["integer"],"values":[[1]`))
			rows, err := f.connect().QueryContext(ctx, test.query, nil)
			require.NoError(t, err)
			dest := make([]driver.Value, 1)
			require.NoError(t, rows.Next(dest))
			time.AfterFunc(10*time.Millisecond, cancel)
			err = rows.Next(dest)
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, err, test.is)
			require.NotErrorIs(t, err, test.not)
			require.NoError(t, rows.Close())
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := newFake(t, stuck(cluster.QueryPath, `{"results":[{"columns":["a"],"types":["integer"],"values":[[1]`))
	rows, err := f.open("").QueryContext(ctx, "SELECT a FROM t")
	require.NoError(t, err)
	require.True(t, rows.Next())
	cancel()
	assert.False(t, rows.Next())
	require.ErrorIs(t, rows.Err(), context.Canceled)
	require.NoError(t, rows.Close())
}

// Result sets can be read, left in the middle, or passed over, in any mixture.
func TestRowsNextResultSet(t *testing.T) {
	t.Parallel()
	reply := results(table("a integer", "[1]", "[2]", "[3]"), table("b text,c text"), table("d real", "[1.5]", "[2.5]"))
	split := []step{
		reads("", results(table("a integer", "[1]", "[2]", "[3]"))),
		writes("", results(table("b text,c text"))),
		reads("", results(table("d real", "[1.5]", "[2.5]"))),
	}
	sets := []struct {
		columns []string
		rows    int
	}{{[]string{"a"}, 3}, {[]string{"b", "c"}, 0}, {[]string{"d"}, 2}}
	// The digits say how many rows of each set are read before the next one; 9
	// is all, and to the end.
	for _, reading := range []string{"999", "000", "109", "209", "309", "190", "091", "009", "301", "902"} {
		for _, query := range []string{"SELECT 1; SELECT 2; SELECT 3", "SELECT 1; DELETE FROM t RETURNING b, c; SELECT 3"} {
			t.Run(reading+" "+query, func(t *testing.T) {
				t.Parallel()
				f := newFake(t)
				if strings.Contains(query, "DELETE") {
					f.then(split...)
				} else {
					f.then(reads("", reply))
				}
				rows, err := f.open("").Query(query)
				require.NoError(t, err)
				for i, set := range sets {
					columns, err := rows.Columns()
					require.NoError(t, err)
					assert.Equal(t, set.columns, columns)
					n := 0
					for want := int(reading[i] - '0'); n < want && rows.Next(); n++ {
					}
					assert.Equal(t, min(int(reading[i]-'0'), set.rows), n)
					require.Equal(t, i < len(sets)-1, rows.NextResultSet(), "%v", rows.Err())
				}
				require.NoError(t, rows.Err())
				require.NoError(t, rows.Close())
			})
		}
	}
}

// An early Close leaves nothing open, and the connection to the node usable
// if little was left.
func TestRowsCloseEarly(t *testing.T) {
	t.Parallel()
	row := `"` + strings.Repeat("a", 1000) + `"`
	large := results(table("a text", strings.TrimSuffix(strings.Repeat("["+row+"],", 5000), ",")))
	endless := make(chan string, 1)
	endless <- `{"results":[{"columns":["a"],"types":["text"],"values":[[` + row + `]`
	f := newFake(t, reads("", results(table("a integer", "[1]", "[2]"), one)), reads("", large), step{path: cluster.QueryPath, params: weakRead, serve: pieces(endless)})
	db := f.open("")
	db.SetMaxOpenConns(1) // a connection that is not given back would block the next call
	for _, query := range []string{"SELECT a; SELECT b", "SELECT a", "SELECT a"} {
		rows, err := db.Query(query)
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.NoError(t, rows.Close())
		require.NoError(t, rows.Close())
		assert.False(t, rows.Next())
		require.Error(t, rows.Scan(new(any)))
	}
}

// A failure behind rows is an error of the reading, never a short result.
func TestRowsErrorsBehindRows(t *testing.T) {
	t.Parallel()
	half := `{"columns":["a"],"types":["integer"],"values":[[1]],"error":"integer overflow"}`
	for _, test := range []struct {
		name, query, reply string
		err                string
	}{
		{"of the statement", "SELECT 1", results(half), "rqlite: integer overflow"},
		{"of the first statement", "SELECT 1; SELECT 2", results(half, one), "rqlite: statement 1 of 2: integer overflow"},
		{"of the second statement", "SELECT 1; SELECT 2", results(one, half), "rqlite: statement 2 of 2: integer overflow"},
		{"of the second statement, without rows", "SELECT 1; SELECT 2", results(one, `{"error":"no such table: a"}`), "rqlite: statement 2 of 2: no such table: a"},
		{"of the request", "SELECT 1", `{"results":[` + one + `],"error":"stale read"}`, "stale read (HTTP status 200)"},
		{"an entry too few", "SELECT 1; SELECT 2", results(one), "it has fewer results than the request has statements"},
		{"an entry too few, and why", "SELECT 1; SELECT 2", `{"results":[` + one + `],"error":"leader not found"}`, "leader not found (HTTP status 200)"},
		{"an entry too many", "SELECT 1", results(one, one), "it has more results than the request has statements"},
		{"a value too few", "SELECT 1", results(table("a integer,b integer", "[1,2]", "[1]")), "a row with fewer values than there are columns"},
		{"a value too many", "SELECT 1", results(table("a integer", "[1]", "[1,2]")), "malformed response"},
		{"a value that is none", "SELECT 1", results(table("a integer", "[1]", `[{}]`)), "an object instead of a value"},
		{"a number that does not fit", "SELECT 1", results(table("a real", "[1]", "[1e999]")), `rqlite: column 1 (a): the number "1e999" does not fit a float64`},
		{"a time that is none", "SELECT 1", results(table("a datetime", `["2024-02-29T00:00:00Z"]`, `["now"]`)), `rqlite: column 1 (a): "now" is not a time as rqlite sends it`},
		{"something behind the end", "SELECT 1", results(one) + "x", "after the end of the document"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rows, err := newFake(t, reads("", test.reply)).open("").Query(test.query)
			require.NoError(t, err)
			n := 0
			for {
				for rows.Next() {
					n++
				}
				if !rows.NextResultSet() {
					break
				}
			}
			assert.Positive(t, n, "the rows before the failure are there")
			require.ErrorContains(t, rows.Err(), test.err)
			assert.True(t, strings.HasPrefix(rows.Err().Error(), "rqlite: "), rows.Err().Error())
			require.NoError(t, rows.Close())
		})
	}
}

// A read whose answer is cut off anywhere gives all rows, by being sent again,
// or an error. It never gives fewer.
func TestReadCutOff(t *testing.T) {
	t.Parallel()
	reply := results(table("a integer,b text", `[1,"x"]`, `[-23,"y\u00e9"]`), one)
	want := [][][]any{{{int64(1), "x"}, {int64(-23), "yé"}}, {{int64(1)}}}
	for name, broken := range map[string]func(n int) step{
		"text":       func(n int) step { return reads("", reply[:n]) },
		"connection": func(n int) step { return step{path: cluster.QueryPath, params: weakRead, serve: cut(reply, n)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			db := f.open("")
			failed := 0
			for n := range len(reply) {
				again := reads("", reply)
				again.optional = true
				f.then(broken(n), again)
				rows, err := db.Query("SELECT a, b FROM t; SELECT 1")
				require.NoError(t, err, "after %q", reply[:n])
				sets := allSets(t, rows)
				if rows.Err() == nil {
					require.Equal(t, want, sets, "after %q", reply[:n])
				} else {
					failed++
					require.NotErrorIs(t, rows.Err(), ErrIndeterminate)
				}
				require.NoError(t, rows.Close())
				f.forget()
			}
			assert.Greater(t, failed, len(reply)/3, "the cuts behind the head of the first entry")
		})
	}
}

// A write whose answer is cut off is indeterminate as long as no entry has been
// seen, and applied from there on. It is never sent again.
func TestWriteCutOff(t *testing.T) {
	t.Parallel()
	reply := results(table("id integer", "[1]", "[2]"))
	f := newFake(t)
	db := f.open("")
	kinds := map[error]int{}
	for n := range len(reply) {
		for _, s := range []step{writes("", reply[:n]), {path: cluster.ExecutePath, params: plainWrite, serve: cut(reply, n)}} {
			f.then(s)
			rows, err := db.Query("INSERT INTO t VALUES(1),(2) RETURNING id")
			kind := ErrIndeterminate
			if err == nil {
				kind = ErrRowsLost
				for rows.Next() {
				}
				err = rows.Err()
				require.NoError(t, rows.Close())
			}
			require.ErrorIs(t, err, kind, "after %q", reply[:n])
			kinds[kind]++
		}
	}
	assert.Positive(t, kinds[ErrIndeterminate])
	assert.Positive(t, kinds[ErrRowsLost])
	head := strings.Index(reply, `"values":[`) + len(`"values":[`)
	assert.Equal(t, 2*head, kinds[ErrIndeterminate], "what comes before the rows does not yet say that it was applied")
}

func TestColumnTypes(t *testing.T) {
	t.Parallel()
	type column struct {
		name, typ        string
		scan             reflect.Type
		length           int64
		hasLength        bool
		precision, scale int64
		hasDecimal       bool
	}
	want := []column{
		{name: "a", typ: "INTEGER", scan: reflect.TypeFor[sql.NullInt64]()},
		{name: "b", typ: "VARCHAR", scan: reflect.TypeFor[sql.NullString](), length: 20, hasLength: true},
		{name: "c", typ: "DECIMAL", scan: reflect.TypeFor[sql.NullFloat64](), precision: 10, scale: 2, hasDecimal: true},
		{name: "d", typ: "NUMERIC", scan: reflect.TypeFor[sql.NullFloat64](), precision: 5, hasDecimal: true},
		{name: "e", typ: "BLOB", scan: reflect.TypeFor[sql.RawBytes]()},
		{name: "f", typ: "DATETIME", scan: reflect.TypeFor[sql.NullTime]()},
		{name: "g", typ: "BOOLEAN", scan: reflect.TypeFor[sql.NullBool]()},
		{name: "h", typ: "", scan: reflect.TypeFor[any]()},
		{name: "i", typ: "DECIMAL", scan: reflect.TypeFor[sql.NullFloat64]()},
		{name: "j", typ: "TEXT", scan: reflect.TypeFor[sql.NullString]()},
		{name: "k", typ: "INT", scan: reflect.TypeFor[sql.NullInt64]()},
		{name: "l", typ: "DOUBLE PRECISION", scan: reflect.TypeFor[sql.NullFloat64]()},
	}
	head := `"columns":["a","b","c","d","e","f","g","h","i","j","k","l"],"types":["integer","varchar(20)","decimal( 10 , 2 )","numeric (5)","blob","datetime",` +
		`"boolean","","decimal(1,2,3)","text(max)","int(11","double precision"]`
	for i, reply := range []string{"{" + head + "}", "{" + head + `,"values":[[1,"",1,1,null,null,null,null,1,"",1,1]]}`} {
		if i == 1 { // "integer" and "blob" may be the types of values
			want[0].scan, want[4].scan = reflect.TypeFor[any](), reflect.TypeFor[any]()
		}
		rows, err := newFake(t, reads("", results(reply))).open("").Query("SELECT a FROM t")
		require.NoError(t, err)
		types, err := rows.ColumnTypes()
		require.NoError(t, err)
		got := []column{}
		for _, typ := range types {
			c := column{name: typ.Name(), typ: typ.DatabaseTypeName(), scan: typ.ScanType()}
			c.length, c.hasLength = typ.Length()
			c.precision, c.scale, c.hasDecimal = typ.DecimalSize()
			_, known := typ.Nullable()
			assert.False(t, known)
			got = append(got, c)
		}
		assert.Equal(t, want, got)
		require.NoError(t, rows.Close())
	}
}

// What is scanned into any, or into bytes, stays as it is when more is read.
func TestRowsKeepValues(t *testing.T) {
	t.Parallel()
	const many = 500
	var list []string
	for i := range many {
		list = append(list, fmt.Sprintf(`[%d,"text %d",%d.25,[%d,%d]]`, i*1000, i, i, i%256, i/256))
	}
	f := newFake(t, reads("", results(table("a integer,b text,c real,d blob", list...))))
	rows, err := f.open("").Query("SELECT a, b, c, d FROM t")
	require.NoError(t, err)
	all := scanAll(t, rows)
	require.NoError(t, rows.Err())
	require.Len(t, all, many)
	for i, row := range all {
		want := []any{int64(i * 1000), fmt.Sprintf("text %d", i), float64(i) + 0.25, []byte{byte(i % 256), byte(i / 256)}}
		require.Equal(t, want, row)
	}
}

func TestRowsScan(t *testing.T) {
	t.Parallel()
	f := newFake(t, reads("", results(table("a text,b blob,c integer,d datetime,e boolean,f text",
		`["é",[1,2],3,"2024-02-29T01:02:03Z",true,null]`, `["",[],-4,"0001-01-01T00:00:00Z",false,"x"]`))))
	rows, err := f.open("loc=Europe/Berlin").Query("SELECT a, b, c, d, e, f FROM t")
	require.NoError(t, err)
	defer rows.Close()
	var (
		a, b, c sql.RawBytes
		d       time.Time
		e       bool
		g       sql.NullString
		got     []string
	)
	for rows.Next() {
		require.NoError(t, rows.Scan(&a, &b, &c, &d, &e, &g))
		got = append(got, fmt.Sprintf("%q %q %q %v %v", a, b, c, e, g))
		assert.Equal(t, "Europe/Berlin", d.Location().String())
	}
	require.NoError(t, rows.Err())
	assert.Equal(t, []string{`"é" "\x01\x02" "3" true { false}`, `"" "" "-4" false {x true}`}, got)
}
