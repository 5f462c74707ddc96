// Package sqltext reads SQL text like SQLite's tokenizer, as far as a client needs it. It splits a
// text into statements, classifies each, and finds their parameters. It does no I/O and does not
// check grammar.
//
// It reads a text in one pass, in three layers:
//
//	lexer.go    bytes to tokens, by SQLite's lexical rules
//	keyword.go  words to the few keywords that matter here
//	parse.go    tokens to statements
//
// Other files read or change single statements:
//
//	pragma.go     pragmas that only read
//	savepoint.go  savepoints, and the names of tables in a statement
//	rewrite.go    changes that the server needs: RETURNING, literals for parameters
//	backquote.go  names without backquotes
//	plain.go      RETURNING clauses that every release of the server sees
//	freeze.go     literals for the present and for random numbers
//	connstate.go  literals for last_insert_rowid() and changes()
//	defaults.go   DEFAULTs that read the clock or take random numbers
//	hide.go       lists of the schema without a table
//
// A statement that SQLite rejects may get any Kind: the server will refuse it anyway. Parse returns
// an error only if it cannot tell where statements end. To send a part of such a text could run a
// statement that nobody wrote.
//
// The rules are those of https://www.sqlite.org/lang_expr.html,
// https://www.sqlite.org/lang_comment.html, https://www.sqlite.org/c3ref/complete.html and
// https://www.sqlite.org/c3ref/bind_blob.html.
package sqltext
