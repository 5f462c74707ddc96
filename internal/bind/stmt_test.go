package bind

import (
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// bodyOf returns the request body of a script that is sent as one request.
func bodyOf(query string, args ...any) (string, error) {
	script, err := sqltext.Parse(query)
	if err != nil {
		return "", err
	}
	values, err := converted(args)
	if err != nil {
		return "", err
	}
	stmts, err := Deal(script, values)
	if err != nil {
		return "", err
	}
	body, err := encodedCalls(stmts)
	return string(body), err
}

// converted converts values as database/sql does.
func converted(args []any) (list []driver.NamedValue, err error) {
	for i, arg := range args {
		value := driver.NamedValue{Ordinal: i + 1, Value: arg}
		if n, ok := arg.(sql.NamedArg); ok {
			value.Name, value.Value = n.Name, n.Value
		}
		if value.Value, err = driver.DefaultParameterConverter.ConvertValue(value.Value); err != nil {
			return nil, fmt.Errorf("parameter %d: %w", i+1, err)
		}
		list = append(list, value)
	}
	return list, nil
}

// encodedCalls returns the body of a request without a frame.
func encodedCalls(stmts []Stmt) ([]byte, error) {
	var none *cluster.Frame
	body, err := AppendAll(none.Open(Size(stmts)), stmts)
	return none.Close(body), err
}

func TestBind(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		query string
		args  []any
		body  string
	}{
		{"no parameters", `SELECT 1;`, nil, `["SELECT 1"]`},
		{"nothing", ` ; -- nothing`, nil, `[]`},
		{"positional", `SELECT ?, ?`, []any{1, "a"}, `[["SELECT ?, ?",1,"a"]]`},
		{"numbered", `SELECT ?2, ?1`, []any{1, 2}, `[["SELECT ?2, ?1",1,2]]`},
		{"numbered twice", `SELECT ?1, ?1`, []any{1}, `[["SELECT ?1, ?1",1]]`},
		{"numbered with gaps", `SELECT ?3`, []any{1, 2, 3}, `[["SELECT ?3",1,2,3]]`},
		{"numbered, then plain", `SELECT ?2, ?`, []any{1, 2, 3}, `[["SELECT ?2, ?",1,2,3]]`},
		{"colon", `SELECT :a`, []any{sql.Named("a", 1)}, `[["SELECT :a",1]]`},
		{"at", `SELECT @a`, []any{sql.Named("a", 1)}, `[["SELECT @a",1]]`},
		{"dollar", `SELECT $a`, []any{sql.Named("a", 1)}, `[["SELECT $a",1]]`},
		{"a name with every prefix", `SELECT :a, @a, $a`, []any{sql.Named("a", 1)}, `[["SELECT :a, @a, $a",1,1,1]]`},
		{"a name that no parameter has", `SELECT :a`, []any{sql.Named("a", 1), sql.Named("b", 1)}, `[["SELECT :a",1]]`},
		{"names alone that no parameter has", `SELECT 1`, []any{sql.Named("b", 1)}, `["SELECT 1"]`},
		{"a name repeated", `SELECT :a, :b, :a`, []any{sql.Named("b", 2), sql.Named("a", 1)}, `[["SELECT :a, :b, :a",1,2]]`},
		{"a name of a Tcl variable", `SELECT $a::b(c)`, []any{sql.Named("a::b(c)", 1)}, `[["SELECT $a::b(c)",1]]`},
		{"a name given twice: the last counts", `SELECT :a`, []any{sql.Named("a", 1), sql.Named("a", 2)}, `[["SELECT :a",2]]`},
		{"named parameters, positional values", `SELECT :b, :a, :b`, []any{1, 2}, `[["SELECT :b, :a, :b",1,2]]`},
		{"named, then positional", `SELECT :a, ?`, []any{sql.Named("a", 1), 2}, `[["SELECT :a, ?",1,2]]`},
		{"positional, then named", `SELECT ?, :a, ?`, []any{1, 3, sql.Named("a", 2)}, `[["SELECT ?, :a, ?",1,2,3]]`},
		{"several statements", `INSERT INTO t VALUES(?,?); SELECT 1; SELECT ?`, []any{1, 2, 3}, `[["INSERT INTO t VALUES(?,?)",1,2],"SELECT 1",["SELECT ?",3]]`},
		{"several statements share a name", `SELECT :a; SELECT ?, @a`, []any{sql.Named("a", 1), 2}, `[["SELECT :a",1],["SELECT ?, @a",2,1]]`},
		{"several statements, numbers start again", `SELECT ?1; SELECT ?1`, []any{1, 2}, `[["SELECT ?1",1],["SELECT ?1",2]]`},
		{"marks that are none", `SELECT '?', "?", [?], x'00' /* ? */ -- ?`, nil, `["SELECT '?', \"?\", [?], x'00'"]`},
		{
			"every type", `SELECT ?,?,?,?,?,?,?,?`,
			[]any{nil, int64(math.MinInt64), 3.0, true, "\x00\"é\n", []byte{0, 255}, []byte{}, time.Date(2024, 2, 29, 1, 2, 3, 4, time.FixedZone("", -5400))},
			`[["SELECT ?,?,?,?,?,?,?,?",null,-9223372036854775808,3.0,true,"\u0000\"é\u000a","x'00ff'","x''","2024-02-29 01:02:03.000000004-01:30"]]`,
		},
		{"nil bytes and NaN are NULL", `SELECT ?,?`, []any{[]byte(nil), math.NaN()}, `[["SELECT ?,?",null,null]]`},
		{"large floats stay floats", `SELECT ?,?`, []any{1e300, 1e20}, `[["SELECT ?,?",1e+300,1e+20]]`},
		{"minus zero", `SELECT ?`, []any{math.Copysign(0, -1)}, `[["SELECT ?",-0.0]]`},
		{"RETURNING gets its space", "INSERT INTO t VALUES(?) RETURNING\nid", []any{1}, `[["INSERT INTO t VALUES(?) RETURNING \u000aid",1]]`},
		{"RETURNING without white space", `DELETE FROM t RETURNING*`, nil, `["DELETE FROM t RETURNING *"]`},
		{"RETURNING has its space", `DELETE FROM t RETURNING id`, nil, `["DELETE FROM t RETURNING id"]`},
		{"RETURNING that is a text", "INSERT INTO t VALUES('RETURNING\n')", nil, `["INSERT INTO t VALUES('RETURNING\u000a')"]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			body, err := bodyOf(test.query, test.args...)
			require.NoError(t, err)
			assert.Equal(t, strings.ReplaceAll(test.body, "\n", `\u000a`), body)
			assert.True(t, json.Valid([]byte(body)))
		})
	}
}

// Texts that rqlite would bind as BLOBs are written into the statement.
func TestBindBlobLookalike(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		query string
		args  []any
		body  string
	}{
		{"plain", `INSERT INTO t VALUES(?)`, []any{`x'41'`}, `[["INSERT INTO t VALUES('x''41''')","x'41'"]]`},
		{"empty", `SELECT ?`, []any{`X''`}, `[["SELECT 'X'''''","X''"]]`},
		{"with space around it", `SELECT ?`, []any{" x'00' "}, `[["SELECT ' x''00'' '"," x'00' "]]`},
		{"with other space around it", `SELECT ?`, []any{"\u0085x'00'\t"}, "[[\"SELECT '\u0085x''00''\\u0009'\",\"\u0085x'00'\\u0009\"]]"},
		{"repeated", `SELECT ?1, ?1`, []any{`x'00'`}, `[["SELECT 'x''00''', 'x''00'''","x'00'"]]`},
		{"a name repeated", `SELECT :a, :b, :a`, []any{sql.Named("a", `x'00'`), sql.Named("b", 1)}, `[["SELECT 'x''00''', ?2, 'x''00'''","x'00'",1]]`},
		{"among others", `SELECT ?, ?, ?`, []any{1, `x'00'`, 3}, `[["SELECT ?1, 'x''00''', ?3",1,"x'00'",3]]`},
		{"mixed with names", `SELECT ?, :a, ?`, []any{1, `x'00'`, sql.Named("a", 2)}, `[["SELECT ?1, ?2, 'x''00'''",1,2,"x'00'"]]`},
		{"with RETURNING", "INSERT INTO t VALUES(?)RETURNING\nid", []any{`x'00'`}, `[["INSERT INTO t VALUES('x''00''')RETURNING \u000aid","x'00'"]]`},
		{"behind RETURNING", "INSERT INTO t VALUES(1) RETURNING\n?", []any{`x'00'`}, `[["INSERT INTO t VALUES(1) RETURNING \u000a'x''00'''","x'00'"]]`},
		{"in the second statement", `SELECT ?; SELECT ?`, []any{1, `x'00'`}, `[["SELECT ?",1],["SELECT 'x''00'''","x'00'"]]`},
		{"beside a word", `SELECT?FROM t`, []any{`x'00'`}, `[["SELECT 'x''00''' FROM t","x'00'"]]`},
		{"odd digits", `SELECT ?`, []any{`x'0'`}, `[["SELECT ?","x'0'"]]`},
		{"no digits of hex", `SELECT ?`, []any{`x'0g'`}, `[["SELECT ?","x'0g'"]]`},
		{"no quote", `SELECT ?`, []any{`x00`}, `[["SELECT ?","x00"]]`},
		{"a BLOB of the same bytes is one", `SELECT ?`, []any{[]byte(`x'00'`)}, `[["SELECT ?","x'7827303027'"]]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			body, err := bodyOf(test.query, test.args...)
			require.NoError(t, err)
			want := strings.ReplaceAll(test.body, "\n", `\u000a`)
			assert.Equal(t, want, body)
		})
	}
}

func TestBindErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		query string
		args  []any
		err   string
	}{
		{"none of one", `SELECT ?`, nil, "too few values: the statement has 1 parameter, and 0 are given, so that none is left for number 1"},
		{"one of two", `SELECT ?, ?`, []any{1}, "too few values: the statement has 2 parameters, and 1 is given, so that none is left for number 2"},
		{"a gap", `SELECT ?3`, []any{1}, "too few values: the statement has 3 parameters, and 1 is given, so that none is left for number 2"},
		{"one too many", `SELECT ?`, []any{1, 2}, "too many values: 2 are given, and there are not as many parameters"},
		{"values for nothing", `SELECT 1`, []any{1}, "too many values: 1 are given, and there are not as many parameters"},
		{"values for no statement", `-- nothing`, []any{1}, "too many values: 1 are given, and there are not as many parameters"},
		{"a name without a value", `SELECT :a, :b`, []any{sql.Named("a", 1)}, `no value is given for the parameter named "b"`},
		{"a name that is misspelt", `SELECT :a`, []any{sql.Named("b", 1)}, `no value is given for the parameter named "a"`},
		{"a surplus one beside a surplus name", `SELECT :a`, []any{sql.Named("a", 1), sql.Named("b", 1), 2}, `too many values: 1 are given, and there are not as many parameters`},
		{"names are case sensitive", `SELECT :a`, []any{sql.Named("A", 1)}, `no value is given for the parameter named "a"`},
		{"the second statement", `SELECT ?; SELECT ?`, []any{1}, "statement 2 of 2: too few values: the statement has 1 parameter, and 1 is given, so that none is left for number 1"},
		{"the first takes what the second lacks", `SELECT ?, ?; SELECT :a`, []any{1, 2}, `statement 2 of 2: no value is given for the parameter named "a"`},
		{"an infinity", `SELECT ?, ?`, []any{1, math.Inf(-1)}, "parameter 2: an infinite number cannot be sent: JSON has none"},
		{"text that is not UTF-8", `SELECT 1; SELECT ?`, []any{"a\xff"}, "statement 2 of 2: parameter 1: the text is not valid UTF-8, which JSON cannot carry: pass it as []byte"},
		{"uint64 above int64", `SELECT ?`, []any{uint64(math.MaxInt64) + 1}, "parameter 1: uint64 values with high bit set are not supported"},
		{"a type that is no value", `SELECT ?`, []any{make(chan int)}, "parameter 1: unsupported type chan int, a chan"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := bodyOf(test.query, test.args...)
			assert.EqualError(t, err, test.err)
		})
	}
}

// The same script is dealt values many times by a prepared statement: nothing
// of one call may stay for the next.
func TestBindLeavesTheScriptAlone(t *testing.T) {
	t.Parallel()
	script, err := sqltext.Parse("INSERT INTO t VALUES(:a, ?) RETURNING\nid")
	require.NoError(t, err)
	bind := func(args ...any) string {
		values, err := converted(args)
		require.NoError(t, err)
		stmts, err := Deal(script, values)
		require.NoError(t, err)
		body, err := encodedCalls(stmts)
		require.NoError(t, err)
		return string(body)
	}
	plain := `[["INSERT INTO t VALUES(:a, ?) RETURNING \u000aid",1,2]]`
	assert.Equal(t, plain, bind(1, 2))
	assert.Equal(t, `[["INSERT INTO t VALUES('x''00''', ?2) RETURNING \u000aid","x'00'",2]]`, bind(`x'00'`, 2))
	assert.Equal(t, plain, bind(2, sql.Named("a", 1)))
}

// isBlobText is the server's documented rule: a text that, without the space
// around it, is an SQL literal of a BLOB.
func isBlobText(s string) bool {
	s = strings.TrimSpace(s)
	if len(s) < len("x''") || s[:2] != "x'" && s[:2] != "X'" || !strings.HasSuffix(s, "'") {
		return false
	}
	_, err := hex.DecodeString(s[2 : len(s)-1])
	return err == nil
}

func FuzzLooksLikeBlob(f *testing.F) {
	for _, s := range []string{
		"", "x", "x'", "x''", "X''", "x'00'", " x'aF' ", "x'0'", "'x'", "xX''", "\u0085x'00'\u00a0", "\x1fx''", "x'00'\x00",
		"x '00'", "x'00' ;", "y'00'", "x\"00\"", "x'00''", "\u2003x'00'\u2003", "8''",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		require.Equal(t, isBlobText(s), looksLikeBlob(s), "%q", s)
	})
}

// FuzzBind checks that a text arrives as it is, in the values or in the
// statement, and that none that looks like a BLOB is left to the server.
func FuzzBind(f *testing.F) {
	for _, s := range []string{"", "a", "x'00'", " X'' ", "it's", "\x00", "x'00'\xff", "\u2028"} {
		f.Add(s, int64(7))
	}
	f.Fuzz(func(t *testing.T, text string, n int64) {
		body, err := bodyOf(`SELECT ?2, :a`, n, sql.Named("a", text), n)
		if !utf8.ValidString(text) {
			require.ErrorContains(t, err, "not valid UTF-8")
			return
		}
		require.NoError(t, err)
		var statements [][]any
		require.NoError(t, json.Unmarshal([]byte(body), &statements))
		require.Len(t, statements, 1)
		if isBlobText(text) {
			require.Equal(t, `SELECT ?2, '`+strings.ReplaceAll(text, "'", "''")+`'`, statements[0][0])
			return
		}
		require.Equal(t, `SELECT ?2, :a`, statements[0][0])
		require.Equal(t, text, statements[0][3])
	})
}
