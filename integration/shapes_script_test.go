package integration_test

import (
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// capturedScript is a file of testdata/shapes, which the program in capture has
// written: what a library sent, in its order.
type capturedScript struct {
	Library   string
	Version   string
	Scenarios []struct {
		Name  string
		Setup []capturedStep
		Steps []capturedStep
	}
}

type capturedStep struct {
	Do    string
	SQL   string
	Args  []capturedArg
	Fails bool
}

type capturedArg struct{ Name, Type, Text string }

// capturedScenarios reads what was captured.
func capturedScenarios(t *testing.T) (list []scenario) {
	t.Helper()
	files, err := filepath.Glob("testdata/shapes/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		var script capturedScript
		require.NoError(t, json.Unmarshal(data, &script), file)
		name := filepath.Base(file)
		for _, s := range script.Scenarios {
			out := scenario{library: name[:len(name)-len(".json")], name: s.Name}
			out.setup, err = capturedSteps(s.Setup)
			require.NoError(t, err, file)
			out.steps, err = capturedSteps(s.Steps)
			require.NoError(t, err, file)
			list = append(list, out)
		}
	}
	return list
}

func capturedSteps(captured []capturedStep) (list []shapeStep, err error) {
	for _, c := range captured {
		s := shapeStep{fails: c.Fails}
		s.query = c.SQL
		switch c.Do {
		case "exec":
			s.mode = execMode
		case "query":
			s.mode = queryMode
		case "prepared exec":
			s.mode = preparedExec
		case "prepared query":
			s.mode = preparedQuery
		case "begin":
			s.action = beginTx
		case "commit":
			s.action = commitTx
		case "rollback":
			s.action = rollbackTx
		default:
			return nil, fmt.Errorf("there is no action %q", c.Do)
		}
		for _, a := range c.Args {
			value, err := a.value()
			if err != nil {
				return nil, err
			}
			s.args = append(s.args, value)
		}
		s.reason = capturedDifferences[s.query]
		if ofTheServer.MatchString(s.query) {
			s.like = inKind
		}
		list = append(list, s)
	}
	return list, nil
}

// value returns the argument with the Go type that the library gave it.
func (a capturedArg) value() (v any, err error) {
	switch a.Type {
	case "nil":
	case "int64":
		v, err = strconv.ParseInt(a.Text, 10, 64)
	case "float64":
		v, err = strconv.ParseFloat(a.Text, 64)
	case "bool":
		v, err = strconv.ParseBool(a.Text)
	case "string":
		v = a.Text
	case "[]byte":
		v, err = base64.StdEncoding.DecodeString(a.Text)
	case "time.Time":
		v, err = time.Parse(time.RFC3339Nano, a.Text)
	default:
		err = fmt.Errorf("there is no type %q", a.Type)
	}
	if a.Name != "" {
		v = sql.Named(a.Name, v)
	}
	return v, err
}

// capturedDifferences are statements of libraries whose results are not
// compared, and why.
var capturedDifferences = map[string]string{
	"PRAGMA foreign_keys = OFF": refusedPragma,
	"PRAGMA foreign_keys = off": refusedPragma,
	"PRAGMA foreign_keys = ON":  refusedPragma,
	"PRAGMA foreign_keys = on":  refusedPragma,
	"PRAGMA database_list":      "the oracle has a temporary database as well",
}

// ofTheServer are queries of libraries that tell of the server: the names of its
// files and the version of its SQLite.
var ofTheServer = regexp.MustCompile(`(?i)(?:\b|_)(?:database_list|sqlite_version)\b`)

const refusedPragma = "SQLite ignores this within a transaction, and rqlite refuses it: the connection is that of all clients"
