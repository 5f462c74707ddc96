package gormrqlite

import (
	"fmt"
	"slices"
	"strings"
)

// table is the definition in a CREATE TABLE.
type table struct {
	items []item // columns, then constraints
	tail  string // text after the closing parenthesis: STRICT, WITHOUT ROWID
}

// item is a column or a constraint of a table.
type item struct {
	tokens []token // without spaces at the start and end
}

// parseTable reads a CREATE TABLE from sqlite_schema.
func parseTable(sql string) (*table, error) {
	tokens := lex(sql)
	open := slices.IndexFunc(tokens, func(t token) bool { return t.text == "(" && t.kind == symbol })
	if open < 0 {
		return nil, fmt.Errorf("rqlite: not the definition of a table with columns: %s", sql)
	}
	t := &table{}
	depth, start := 0, open+1
	for i := open; i < len(tokens); i++ {
		if tokens[i].kind != symbol {
			continue
		}
		switch tokens[i].text {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				t.add(tokens[start:i])
				t.tail = join(tokens[i+1:])
				return t, nil
			}
		case ",":
			if depth == 1 {
				t.add(tokens[start:i])
				start = i + 1
			}
		}
	}
	return nil, fmt.Errorf("rqlite: the definition of a table has no end: %s", sql)
}

func (t *table) add(tokens []token) {
	if text := join(tokens); text != "" {
		t.items = append(t.items, item{lex(text)})
	}
}

// create returns the CREATE TABLE for a table of the given name.
func (t *table) create(name string) string {
	var texts []string
	for _, i := range t.items {
		text := join(i.tokens)
		if last := i.tokens[len(i.tokens)-1]; last.kind == space && strings.HasPrefix(last.text, "--") {
			text += "\n" // otherwise a comment at the end would go on
		}
		texts = append(texts, text)
	}
	return strings.TrimSpace(fmt.Sprintf("CREATE TABLE %s (%s) %s", quoteName(name), strings.Join(texts, ","), t.tail))
}

// rename changes references of the table to itself to its new name.
func (t *table) rename(from, to string) {
	for _, i := range t.items {
		last := token{}
		for n, tok := range i.tokens {
			if tok.kind == space {
				continue
			}
			if last.is("REFERENCES") && tok.isName(from) {
				i.tokens[n] = token{quoted, quoteName(to)}
			}
			last = tok
		}
	}
}

// column returns the index of a column, or -1.
func (t *table) column(name string) int {
	return slices.IndexFunc(t.items, func(i item) bool { return i.isColumn() && i.first().isName(name) })
}

// constraint returns the index of a constraint of the table by its name, or -1.
func (t *table) constraint(name string) int {
	return slices.IndexFunc(t.items, func(i item) bool {
		tokens := solid(i.tokens)
		return len(tokens) > 1 && tokens[0].is("CONSTRAINT") && tokens[1].isName(name)
	})
}

// hasConstraint reports whether the table or one of its columns has a constraint of that name.
func (t *table) hasConstraint(name string) bool {
	return slices.ContainsFunc(t.items, func(i item) bool {
		tokens := solid(i.tokens)
		for n := range tokens[:len(tokens)-1] {
			if tokens[n].is("CONSTRAINT") && tokens[n+1].isName(name) {
				return true
			}
		}
		return false
	})
}

// set adds a constraint. It replaces one of the same name.
func (t *table) set(name, sql string) {
	made := item{lex(sql)}
	if i := t.constraint(name); i >= 0 {
		t.items[i] = made
		return
	}
	t.items = append(t.items, made)
}

// drop removes a column and the table constraints on it.
func (t *table) drop(column int) {
	name := t.items[column].first().name()
	t.items = slices.Delete(t.items, column, column+1)
	t.items = slices.DeleteFunc(t.items, func(i item) bool { return !i.isColumn() && i.concerns(name) })
}

// has reports whether a keyword occurs in the definition.
func (t *table) has(keyword string) bool {
	return slices.ContainsFunc(t.items, func(i item) bool {
		return slices.ContainsFunc(i.tokens, func(tok token) bool { return tok.is(keyword) })
	})
}

func (i item) first() token { return solid(i.tokens)[0] }

// isColumn reports whether the item is a column, not a table constraint.
func (i item) isColumn() bool {
	return !i.first().is("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")
}

// concerns reports whether a table constraint is on the given column of this table.
func (i item) concerns(column string) bool {
	tokens := solid(i.tokens)
	if tokens[0].is("CONSTRAINT") && len(tokens) > 2 {
		tokens = tokens[2:]
	}
	for _, tok := range tokens {
		if tok.is("REFERENCES") { // columns of the other table follow
			break
		}
		if tok.isName(column) {
			return true
		}
	}
	return false
}

// declared returns the declared type of a column, as written.
func (i item) declared() string {
	name := slices.IndexFunc(i.tokens, func(t token) bool { return t.kind != space })
	rest := i.tokens[name+1:]
	end := slices.IndexFunc(rest, func(t token) bool {
		return t.is("CONSTRAINT", "PRIMARY", "NOT", "NULL", "UNIQUE", "CHECK", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS")
	})
	if end < 0 {
		end = len(rest)
	}
	return join(rest[:end])
}

// defaultValue returns the DEFAULT of a column, as written. A text loses its quotes.
func (i item) defaultValue() (string, bool) {
	depth, tokens := 0, i.tokens
	for n, tok := range tokens {
		switch {
		case tok.text == "(":
			depth++
		case tok.text == ")":
			depth--
		case depth == 0 && tok.is("DEFAULT"):
			return value(tokens[n+1:])
		}
	}
	return "", false
}

// value returns the literal, or the expression in parentheses, at the start of tokens.
func value(tokens []token) (string, bool) {
	for len(tokens) > 0 && tokens[0].kind == space {
		tokens = tokens[1:]
	}
	switch {
	case len(tokens) == 0:
		return "", false
	case tokens[0].kind == text, tokens[0].kind == quoted:
		return tokens[0].name(), true
	case tokens[0].text != "(":
		// A number has up to three tokens: the sign, the digits, and a dot with more digits.
		end := slices.IndexFunc(tokens, func(t token) bool {
			return t.kind == space || t.kind == symbol && !strings.Contains("+-.", t.text)
		})
		if end < 0 {
			end = len(tokens)
		}
		if text := join(tokens[:end]); !strings.EqualFold(text, "NULL") {
			return text, true
		}
		return "", false
	}
	depth := 0
	for n, tok := range tokens {
		if tok.text == "(" {
			depth++
		}
		if tok.text == ")" {
			if depth--; depth == 0 {
				return join(tokens[:n+1]), true
			}
		}
	}
	return "", false
}
