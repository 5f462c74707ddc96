package main

import (
	"bytes"
	"database/sql/driver"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// script is what one file holds.
type script struct {
	Library   string
	Version   string
	Scenarios []capturedScenario
}

// capturedScenario is what one program sent, in its order.
type capturedScenario struct {
	Name  string
	Setup []*step
	Steps []*step
}

// step is one call of the driver.
type step struct {
	// Do is "exec", "query", the same behind "prepared ", "begin", "commit" or
	// "rollback".
	Do    string     `json:"do"`
	SQL   string     `json:"sql,omitempty"`
	Args  []argument `json:"args,omitempty"`
	Fails bool       `json:"fails,omitempty"`
}

// argument is a bound value. Its text is that of strconv, base64 for []byte and
// RFC 3339 for time.Time.
type argument struct {
	Name string `json:"name,omitempty"`
	Type string `json:"type"` // int64, float64, bool, string, []byte, time.Time, nil
	Text string `json:"text,omitempty"`
}

func newArgument(a driver.NamedValue) argument {
	out := argument{Name: a.Name, Type: fmt.Sprintf("%T", a.Value)}
	switch v := a.Value.(type) {
	case nil:
		out.Type = "nil"
	case int64:
		out.Text = strconv.FormatInt(v, 10)
	case float64:
		out.Text = strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		out.Text = strconv.FormatBool(v)
	case string:
		out.Text = v
	case []byte:
		out.Type = "[]byte"
		if v == nil {
			out.Type = "nil"
		}
		out.Text = base64.StdEncoding.EncodeToString(v)
	case time.Time:
		out.Text = v.Format(time.RFC3339Nano)
	}
	return out
}

// statements counts all steps that have a statement.
func (s script) statements() (n int) {
	for _, scenario := range s.Scenarios {
		for _, list := range [][]*step{scenario.Setup, scenario.Steps} {
			for _, step := range list {
				if step.SQL != "" {
					n++
				}
			}
		}
	}
	return n
}

// encode makes JSON with a line for each step, so that changes can be read.
func (s script) encode() ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "{\"library\": %q, \"version\": %q, \"scenarios\": [", s.Library, s.Version)
	for i, scenario := range s.Scenarios {
		separate(&out, i, "\n")
		fmt.Fprintf(&out, "{\"name\": %q, \"setup\": [", scenario.Name)
		if err := encodeSteps(&out, scenario.Setup); err != nil {
			return nil, err
		}
		out.WriteString("], \"steps\": [")
		if err := encodeSteps(&out, scenario.Steps); err != nil {
			return nil, err
		}
		out.WriteString("]}")
	}
	out.WriteString("\n]}\n")
	if !json.Valid(out.Bytes()) {
		return nil, fmt.Errorf("the script of %s is no JSON", s.Library)
	}
	return out.Bytes(), nil
}

func encodeSteps(out *bytes.Buffer, steps []*step) error {
	for i, step := range steps {
		separate(out, i, "\n\t")
		var line bytes.Buffer
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(step); err != nil {
			return err
		}
		out.Write(bytes.TrimSpace(line.Bytes()))
	}
	return nil
}

func separate(out *bytes.Buffer, i int, separator string) {
	if i > 0 {
		out.WriteByte(',')
	}
	out.WriteString(separator)
}
