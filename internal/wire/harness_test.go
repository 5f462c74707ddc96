package wire

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// response is a whole response as read by a Decoder or an oracle.
type response struct {
	Entries []entry
	Trailer Trailer
}

// entry is one entry of a response and its rows.
type entry struct {
	Result Result
	Rows   [][]value
}

// value is a copy of a Cell.
type value struct {
	Kind Kind
	Data string
}

// read reads a response to its end through a new Decoder.
func read(r io.Reader) (*response, error) {
	d := NewDecoder(r)
	defer d.Release()
	return readAll(d)
}

func readString(s string) (*response, error) { return read(strings.NewReader(s)) }

func readAll(d *Decoder) (*response, error) {
	var resp response
	for {
		result, err := d.NextResult()
		if errors.Is(err, io.EOF) {
			resp.Trailer = d.Trailer()
			return &resp, nil
		}
		if err != nil {
			return nil, err
		}
		rows, err := readRows(d, len(result.Columns))
		if err != nil {
			return nil, err
		}
		resp.Entries = append(resp.Entries, entry{Result: *d.Result(), Rows: rows})
	}
}

func readRows(d *Decoder, width int) ([][]value, error) {
	var rows [][]value
	for {
		if err := d.NextRow(); err != nil {
			if err == io.EOF { //nolint:errorlint // a wrapped end would be a defect
				err = nil
			}
			return rows, err
		}
		row := make([]value, 0, min(width, 64))
		for range width {
			cell, err := d.Cell()
			if err != nil {
				return nil, err
			}
			row = append(row, value{cell.Kind, string(cell.Data)})
		}
		rows = append(rows, row)
	}
}

// requireSyntaxError demands a SyntaxError whose text contains message.
func requireSyntaxError(t *testing.T, err error, message string) *SyntaxError {
	t.Helper()
	var syntax *SyntaxError
	require.ErrorAs(t, err, &syntax)
	require.Contains(t, syntax.Error(), message)
	require.True(t, strings.HasPrefix(syntax.Error(), "malformed response"))
	return syntax
}

// table is a response of one entry with one column and the given rows.
func table(rows string) string {
	return `{"results":[{"columns":["c"],"types":["text"],"values":[` + rows + `]}]}`
}
