package sqltext

// keyword is a word that the parser needs to know. All other words, SQL keywords or not, are
// noKeyword.
type keyword uint8

const (
	noKeyword keyword = iota
	kwAll
	kwAlter
	kwAnalyze
	kwAs
	kwAttach
	kwBegin
	kwChanges
	kwCommit
	kwCreate
	kwCurrentDate
	kwCurrentTime
	kwCurrentTimestamp
	kwDate
	kwDatetime
	kwDelete
	kwDetach
	kwDistinct
	kwDrop
	kwEnd
	kwExplain
	kwFail
	kwHaving
	kwInsert
	kwInto
	kwJulianday
	kwLastInsertRowid
	kwLimit
	kwOr
	kwOrder
	kwPlan
	kwPragma
	kwQuery
	kwRandom
	kwRandomblob
	kwReindex
	kwRelease
	kwReplace
	kwReturning
	kwRollback
	kwSavepoint
	kwSelect
	kwStrftime
	kwTable
	kwTemp
	kwTemporary
	kwTime
	kwTimediff
	kwTo
	kwTotalChanges
	kwTransaction
	kwTrigger
	kwUnixepoch
	kwUpdate
	kwVacuum
	kwValues
	kwWhere
	kwWith
)

// keywords lists each keyword with its spelling and the Kind of a statement that begins with it.
// Statement.Keyword takes the spelling, so known words cost no allocation.
var keywords = [...]struct {
	name string
	kind Kind
}{
	noKeyword:          {"", Unknown},
	kwAll:              {"ALL", Unknown},
	kwAlter:            {"ALTER", Schema},
	kwAnalyze:          {"ANALYZE", Schema},
	kwAs:               {"AS", Unknown},
	kwAttach:           {"ATTACH", Maintenance},
	kwBegin:            {"BEGIN", Control},
	kwChanges:          {"CHANGES", Unknown},
	kwCommit:           {"COMMIT", Control},
	kwCreate:           {"CREATE", Schema},
	kwCurrentDate:      {"CURRENT_DATE", Unknown},
	kwCurrentTime:      {"CURRENT_TIME", Unknown},
	kwCurrentTimestamp: {"CURRENT_TIMESTAMP", Unknown},
	kwDate:             {"DATE", Unknown},
	kwDatetime:         {"DATETIME", Unknown},
	kwDelete:           {"DELETE", Write},
	kwDetach:           {"DETACH", Maintenance},
	kwDistinct:         {"DISTINCT", Unknown},
	kwDrop:             {"DROP", Schema},
	kwEnd:              {"END", Control},
	kwExplain:          {"EXPLAIN", Read},
	kwFail:             {"FAIL", Unknown},
	kwHaving:           {"HAVING", Unknown},
	kwInsert:           {"INSERT", Write},
	kwInto:             {"INTO", Unknown},
	kwJulianday:        {"JULIANDAY", Unknown},
	kwLastInsertRowid:  {"LAST_INSERT_ROWID", Unknown},
	kwLimit:            {"LIMIT", Unknown},
	kwOr:               {"OR", Unknown},
	kwOrder:            {"ORDER", Unknown},
	kwPlan:             {"PLAN", Unknown},
	kwPragma:           {"PRAGMA", Pragma},
	kwQuery:            {"QUERY", Unknown},
	kwRandom:           {"RANDOM", Unknown},
	kwRandomblob:       {"RANDOMBLOB", Unknown},
	kwReindex:          {"REINDEX", Schema},
	kwRelease:          {"RELEASE", Control},
	kwReplace:          {"REPLACE", Write},
	kwReturning:        {"RETURNING", Unknown},
	kwRollback:         {"ROLLBACK", Control},
	kwSavepoint:        {"SAVEPOINT", Control},
	kwSelect:           {"SELECT", Read},
	kwStrftime:         {"STRFTIME", Unknown},
	kwTable:            {"TABLE", Unknown},
	kwTemp:             {"TEMP", Unknown},
	kwTemporary:        {"TEMPORARY", Unknown},
	kwTime:             {"TIME", Unknown},
	kwTimediff:         {"TIMEDIFF", Unknown},
	kwTo:               {"TO", Unknown},
	kwTotalChanges:     {"TOTAL_CHANGES", Unknown},
	kwTransaction:      {"TRANSACTION", Unknown},
	kwTrigger:          {"TRIGGER", Unknown},
	kwUnixepoch:        {"UNIXEPOCH", Unknown},
	kwUpdate:           {"UPDATE", Write},
	kwVacuum:           {"VACUUM", Maintenance},
	kwValues:           {"VALUES", Read},
	kwWhere:            {"WHERE", Unknown},
	kwWith:             {"WITH", Unknown},
}

const longestKeyword = len("CURRENT_TIMESTAMP") // LAST_INSERT_ROWID is as long

// keywordsByShape lists the keywords by length and first letter. Most words are no keyword by these
// two alone.
var keywordsByShape = func() (shapes [longestKeyword + 1]['Z' - 'A' + 1][]keyword) {
	for kw, info := range keywords {
		if info.name == "" {
			continue
		}
		bucket := &shapes[len(info.name)][info.name[0]-'A']
		*bucket = append(*bucket, keyword(kw))
	}
	return shapes
}()

// lookupKeyword returns the keyword that word spells, in any case. Like SQLite it folds ASCII
// letters only.
func lookupKeyword(word string) keyword {
	if len(word) > longestKeyword {
		return noKeyword
	}
	first := upperByte(word[0]) - 'A'
	if first > 'Z'-'A' {
		return noKeyword
	}
	for _, kw := range keywordsByShape[len(word)][first] {
		if equalUpper(word, keywords[kw].name) {
			return kw
		}
	}
	return noKeyword
}

// equalUpper reports whether word in upper case is upper. Both must have the same length.
func equalUpper(word, upper string) bool {
	for i := 0; i < len(upper); i++ {
		if upperByte(word[i]) != upper[i] {
			return false
		}
	}
	return true
}

// upperASCII returns word with its ASCII letters in upper case. It returns word itself if nothing
// changes. strings.ToUpper would turn letters such as the long s into ASCII letters, and so make
// keywords of other words.
func upperASCII(word string) string {
	for i := 0; i < len(word); i++ {
		if word[i] != upperByte(word[i]) {
			upper := []byte(word)
			for ; i < len(upper); i++ {
				upper[i] = upperByte(upper[i])
			}
			return string(upper)
		}
	}
	return word
}

func upperByte(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}
