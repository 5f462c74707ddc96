package rewrite

import "strings"

// The keywords of rqlite's parser. Some of them are no keywords of SQLite (FUNCTION, REGISTER,
// SPAN, TRUTH, VARIABLE, VECTOR …). FULL and RIGHT are missing: it takes them for names.
var (
	// bareWords may also be names.
	bareWords = wordSet(`ABORT ACTION AFTER ALWAYS ANALYZE ASC ATTACH BEFORE BEGIN BY CASCADE CAST COLUMN
		CONFLICT CROSS CURRENT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP DATABASE DEFERRED DESC DETACH DO
		EACH END EXCLUDE EXCLUSIVE EXPLAIN FAIL FILTER FIRST FOLLOWING FOR GENERATED GLOB GROUPS IF IGNORE
		IMMEDIATE INDEXED INITIALLY INNER INSTEAD KEY LAST LEFT LIKE MATCH NATURAL NO NULLS OF OFFSET OTHERS
		OUTER OVER PARTITION PLAN PRAGMA PRECEDING QUERY RAISE RANGE RECURSIVE REGEXP REINDEX RELEASE RENAME
		REPLACE RESTRICT ROLLBACK ROW ROWS SAVEPOINT TEMP TIES TRIGGER UNBOUNDED VACUUM VIEW VIRTUAL WINDOW
		WITH WITHOUT`)

	// reservedWords cannot be names.
	reservedWords = wordSet(`ADD AGG_COLUMN AGG_FUNCTION ALL ALTER AND AS ASTERISK AUTOINCREMENT BETWEEN CASE
		CHECK COLLATE COLUMNKW COMMIT CONSTRAINT CREATE CTIME_KW DEFAULT DEFERRABLE DELETE DISTINCT DROP ELSE
		ESCAPE EXCEPT EXISTS FALSE FOREIGN FROM FUNCTION GROUP HAVING IF_NULL_ROW IN INDEX INSERT INTERSECT
		INTO IS ISNOT ISNULL JOIN LIMIT MATERIALIZED NOT NOTBETWEEN NOTEXISTS NOTGLOB NOTHING NOTIN NOTLIKE
		NOTMATCH NOTNULL NOTREGEXP NULL ON OR ORDER PRIMARY REFERENCES REGISTER RETURNING ROWID SELECT
		SELECT_COLUMN SET SPAN STORED STRICT TABLE THEN TO TRANSACTION TRUE TRUTH UNION UNIQUE UPDATE USING
		VALUES VARIABLE VECTOR WHEN WHERE`)
)

func wordSet(words string) map[string]bool {
	set := make(map[string]bool)
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}

func isKeyword(upper string) bool { return bareWords[upper] || reservedWords[upper] }

// isPlainName reports whether the token is a name and not a keyword.
func (t token) isPlainName() bool { return t.kind == kindIdent }

// isName reports whether the token can stand where only a name is allowed.
func (t token) isName() bool {
	return t.isPlainName() || t.kind == kindWord && (bareWords[t.word] || t.word == "NULL")
}

// isOperandName reports whether the token is a name where an operand is expected.
func (t token) isOperandName() bool {
	if t.kind != kindWord {
		return t.isPlainName()
	}
	switch t.word {
	case "ROWID":
		return true
	case "CAST", "RAISE":
		return false
	default:
		return bareWords[t.word]
	}
}
