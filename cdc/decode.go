package cdc

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// post is the body of one request of rqlite.
type post struct {
	ServiceID string  `json:"service_id"`
	NodeID    string  `json:"node_id"`
	Payload   []group `json:"payload"`
}

// group holds the changes of one transaction.
type group struct {
	Index     uint64  `json:"index"`
	Timestamp int64   `json:"commit_timestamp"` // Unix milliseconds
	Events    []event `json:"events"`
}

type event struct {
	Op       string         `json:"op"`
	Table    string         `json:"table"`
	OldRowID int64          `json:"old_row_id"`
	NewRowID int64          `json:"new_row_id"`
	Before   map[string]any `json:"before"`
	After    map[string]any `json:"after"`
	Error    string         `json:"error"`

	op Op
}

// decodePost reads the body of a post. It returns an error if a member is missing that rqlite
// always sends, or if a value does not fit its Go type. It ignores unknown members.
func decodePost(body []byte) (*post, error) {
	if !utf8.Valid(body) { // encoding/json would silently replace invalid bytes
		return nil, errors.New("it is not UTF-8")
	}
	var p post
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, err
	}
	if p.Payload == nil {
		return nil, errors.New(`it has no "payload"`)
	}
	for i := range p.Payload {
		for j := range p.Payload[i].Events {
			if err := p.Payload[i].Events[j].check(); err != nil {
				return nil, fmt.Errorf("payload %d, event %d: %w", i, j, err)
			}
		}
	}
	return &p, nil
}

// check sets the operation. It returns an error for an event without content.
func (e *event) check() (err error) {
	if e.op, err = ParseOp(e.Op); err != nil {
		return err
	}
	if e.op == Unknown && e.Error == "" {
		return errors.New("its operation is unknown, and it has no error")
	}
	if e.Table == "" {
		return errors.New("it names no table")
	}
	return nil
}

// UnmarshalJSON reads the numbers in rows as the driver reads them.
func (e *event) UnmarshalJSON(text []byte) error {
	type plain event // the same type without this method
	raw := struct {
		*plain
		Before map[string]json.RawMessage `json:"before"`
		After  map[string]json.RawMessage `json:"after"`
	}{plain: (*plain)(e)}
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	var err error
	if e.Before, err = decodeRow(raw.Before); err != nil {
		return err
	}
	e.After, err = decodeRow(raw.After)
	return err
}

func decodeRow(raw map[string]json.RawMessage) (map[string]any, error) {
	if raw == nil {
		return nil, nil
	}
	row := make(map[string]any, len(raw))
	for name, text := range raw {
		value, err := decodeValue(text)
		if err != nil {
			return nil, fmt.Errorf("column %.40q: %w", name, err)
		}
		row[name] = value
	}
	return row, nil
}

// decodeValue reads a value: nil, bool, string, int64 or float64. A number is an int64 if it is
// written as an integer and fits. -0 is a float64, because only a REAL can be -0.
func decodeValue(text json.RawMessage) (any, error) {
	switch text[0] {
	case 'n':
		return nil, nil
	case 't', 'f':
		return text[0] == 't', nil
	case '"':
		var s string
		err := json.Unmarshal(text, &s)
		return s, err
	case '{', '[':
		return nil, errors.New("its value is neither a number nor a text, a boolean or null")
	}
	number := string(text)
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && number != "-0" {
		return n, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return nil, fmt.Errorf("the number %.40q does not fit a float64", number)
	}
	return f, nil
}

// commitTime returns the commit time of a group, or the zero Time if it has none.
func (g *group) commitTime() time.Time {
	if g.Timestamp == 0 {
		return time.Time{}
	}
	return time.UnixMilli(g.Timestamp).UTC()
}

// changes appends those changes of the group at a position whose table keep wants.
func (g *group) changes(to []Change, p *post, at placed, keep func(table string) bool) []Change {
	for i := range g.Events {
		e := &g.Events[i]
		if !keep(e.Table) {
			continue
		}
		to = append(to, Change{
			Op: e.op, Table: e.Table, OldRowID: e.OldRowID, NewRowID: e.NewRowID,
			Before: e.Before, After: e.After, Err: e.Error,
			CommitTime: g.commitTime(), Index: at.at.index, Part: at.at.part, Uncertain: at.uncertain,
			NodeID: p.NodeID, ServiceID: p.ServiceID,
		})
	}
	return to
}
