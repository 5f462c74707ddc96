// Package sqltext reads SQL text the way SQLite's tokenizer does, as far as a
// client has to: it splits a string into statements, says what each of them
// does, and finds their parameters. It does no I/O and does not check grammar.
//
// The work is done in one pass over the text, in three layers:
//
//	lexer.go    bytes to tokens, by SQLite's lexical rules
//	keyword.go  words to the few keywords that matter here
//	parse.go    tokens to statements
//
// Beside them, pragma.go knows which pragmas only ask, rewrite.go makes the
// changes to a statement that the rqlite server needs, and freeze.go those that
// make it do the same whenever and wherever it is run; savepoint.go reads what a
// statement does with a savepoint.
//
// A statement SQLite would reject may be classified either way, since the
// server will refuse it. Only text whose statements cannot be told apart is an
// error here, because sending part of it could run something nobody wrote.
//
// The rules followed are those of https://www.sqlite.org/lang_expr.html,
// https://www.sqlite.org/lang_comment.html, https://www.sqlite.org/c3ref/complete.html
// and https://www.sqlite.org/c3ref/bind_blob.html.
package sqltext
