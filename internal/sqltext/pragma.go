package sqltext

import "strings"

// pragmaUse is how a pragma departs from the usual: it tells a value when it
// stands alone and sets one when it is given an argument.
type pragmaUse uint8

const (
	setting  pragmaUse = iota // the usual
	question                  // reads, with an argument as without
	action                    // acts, without an argument as with one
)

// pragmaUses lists the pragmas that are not settings, from
// https://www.sqlite.org/pragma.html.
var pragmaUses = map[string]pragmaUse{
	"collation_list":    question,
	"compile_options":   question,
	"data_version":      question,
	"database_list":     question,
	"foreign_key_check": question,
	"foreign_key_list":  question,
	"freelist_count":    question,
	"function_list":     question,
	"index_info":        question,
	"index_list":        question,
	"index_xinfo":       question,
	"integrity_check":   question,
	"module_list":       question,
	"page_count":        question,
	"pragma_list":       question,
	"quick_check":       question,
	"stats":             question,
	"table_info":        question,
	"table_list":        question,
	"table_xinfo":       question,

	"incremental_vacuum": action,
	"optimize":           action,
	"shrink_memory":      action,
	"wal_checkpoint":     action,
}

// SetsDeferral reports whether the statement is a PRAGMA that sets defer_foreign_keys, which is a
// matter of the transaction it stands in.
func (s Statement) SetsDeferral() bool {
	name, _ := s.PragmaSetting()
	return name == "defer_foreign_keys"
}

// pragmaReads reports whether the pragma called name, as written, changes
// nothing. To SQLite, name = value and name(value) are the same thing.
func pragmaReads(name string, hasArgument bool) bool {
	name = strings.Trim(name, "'\"`[]")
	use, ok := pragmaUses[name]
	if !ok {
		use = pragmaUses[strings.ToLower(name)]
	}
	return use == question || use == setting && !hasArgument
}

// PragmaSetting returns what a Pragma sets: its name in lower case, without the schema, and the
// word behind = or in parentheses, in lower case and without quotes, "" if there is none.
func (s Statement) PragmaSetting() (name, value string) {
	if s.Kind != Pragma {
		return "", ""
	}
	tokens := tokensOf(s.Text)[1:]
	for i, tok := range tokens {
		text := strings.ToLower(unquote(s.Text[tok.pos:tok.end]))
		switch tok.kind {
		case tokDot:
		case tokEqual, tokLeftParen:
			if i+1 < len(tokens) {
				value = strings.ToLower(unquote(s.Text[tokens[i+1].pos:tokens[i+1].end]))
			}
			return name, value
		default:
			name = text
		}
	}
	return name, ""
}
