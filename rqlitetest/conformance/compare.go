package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

// compare describes how an answer differs from the wanted one. It returns "" if it does not.
func (w wanted) compare(got answer, names *strings.Replacer) string {
	want := names.Replace(w.body)
	if got.status != w.status {
		return fmt.Sprintf("want status %d: %s", w.status, want)
	}
	for key, value := range w.header {
		value = names.Replace(value)
		have, present := got.header[key]
		switch {
		case value == "<none>" && present:
			return fmt.Sprintf("header %s: want none, got %q", key, have)
		case value == "<none>":
		case !present:
			return fmt.Sprintf("header %s: want %s, got none", key, value)
		case value != "<any>" && value != have[0]:
			return fmt.Sprintf("header %s: want %s, got %s", key, value, have[0])
		}
	}
	switch want {
	case "<ok>":
		return checkOK(got.body)
	case "<any>":
		return ""
	}
	var wanted, have any
	if w.exact || decode(want, &wanted) != nil {
		if strings.TrimRight(got.body, "\n") != want {
			return "want " + want
		}
		return ""
	}
	if err := decode(got.body, &have); err != nil {
		return "want " + want
	}
	if where := differ(wanted, have, ""); where != "" {
		return "want " + want + "\ndifferent at " + where
	}
	return ""
}

// checkOK describes an error in the answer of a database endpoint. It returns "" if there is none.
func checkOK(body string) string {
	var got struct {
		Results []struct{ Error string }
		Error   string
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		return "want results"
	}
	for _, r := range got.Results {
		if r.Error != "" {
			return "want no error"
		}
	}
	if got.Error != "" {
		return "want no error"
	}
	return ""
}

// decode reads one JSON value and demands that nothing follows. It keeps the digits of numbers.
func decode(text string, v *any) error {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if dec.More() {
		return fmt.Errorf("more than one JSON value")
	}
	return nil
}

// differ returns the path of the first difference between two values, or "".
func differ(want, got any, at string) string {
	switch want := want.(type) {
	case string:
		if pattern, ok := patterns[want]; ok && pattern(got) {
			return ""
		}
	case map[string]any:
		return differInObject(want, got, at)
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return at + "[]"
		}
		for i := range want {
			if where := differ(want[i], list[i], fmt.Sprintf("%s[%d]", at, i)); where != "" {
				return where
			}
		}
		return ""
	}
	if want != got {
		return at + "."
	}
	return ""
}

func differInObject(want map[string]any, got any, at string) string {
	object, ok := got.(map[string]any)
	if !ok {
		return at + "{}"
	}
	keys := make([]string, 0, len(want)+len(object))
	for key := range want {
		keys = append(keys, key)
	}
	for key := range object {
		if _, ok := want[key]; !ok {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	for _, key := range keys {
		w, inWant := want[key]
		g, inGot := object[key]
		if !inWant || !inGot {
			return at + "." + key
		}
		if where := differ(w, g, at+"."+key); where != "" {
			return where
		}
	}
	return ""
}

// patterns are the placeholders in a wanted answer, and the values that they match.
var patterns = map[string]func(any) bool{
	"<any>": func(any) bool { return true },
	"<text>": func(v any) bool {
		_, ok := v.(string)
		return ok
	},
	"<number>": func(v any) bool {
		_, ok := v.(json.Number)
		return ok
	},
	"<int>": func(v any) bool {
		n, ok := v.(json.Number)
		if !ok {
			return false
		}
		_, err := n.Int64()
		return err == nil
	},
}
