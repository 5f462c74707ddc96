package sqltext

import "strings"

// pragmaUse says how a pragma uses its argument. Most pragmas are settings.
type pragmaUse uint8

const (
	setting  pragmaUse = iota // reads without an argument, sets with one
	question                  // reads, with and without an argument
	action                    // acts, with and without an argument
)

// pragmaUses lists the pragmas that are not settings (https://www.sqlite.org/pragma.html).
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

// SetsDeferral reports whether the statement is a PRAGMA that sets defer_foreign_keys. The setting
// ends with the transaction.
func (s Statement) SetsDeferral() bool {
	name, _ := s.PragmaSetting()
	return name == "defer_foreign_keys"
}

// pragmaReads reports whether a pragma changes nothing. name is as written. To SQLite name = value
// and name(value) are the same.
func pragmaReads(name string, hasArgument bool) bool {
	name = strings.Trim(name, "'\"`[]")
	use, ok := pragmaUses[name]
	if !ok {
		use = pragmaUses[strings.ToLower(name)]
	}
	return use == question || use == setting && !hasArgument
}

// PragmaSetting returns the name and the value of a Pragma. The name is in lower case without the
// schema. The value is the word after = or in parentheses, in lower case without quotes. It is ""
// if there is none.
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
