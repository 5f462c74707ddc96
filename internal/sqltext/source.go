package sqltext

// source is the text of a statement with its tokens. Its methods accept any index, even outside of
// the tokens.
type source struct {
	src    string
	tokens []token
}

// sourceOf returns the text of a statement with its tokens.
func sourceOf(text string) source { return source{text, tokensOf(text)} }

// text returns the text of token i, "" outside of the tokens.
func (s *source) text(i int) string {
	if i < 0 || i >= len(s.tokens) {
		return ""
	}
	return s.src[s.tokens[i].pos:s.tokens[i].end]
}

// kind returns the kind of token i, tokEnd outside of the tokens.
func (s *source) kind(i int) tokenKind {
	if i < 0 || i >= len(s.tokens) {
		return tokEnd
	}
	return s.tokens[i].kind
}

// word returns token i in upper case if it is an unquoted word, else "".
func (s *source) word(i int) string {
	if s.kind(i) != tokWord {
		return ""
	}
	return upperASCII(s.text(i))
}

// isWord reports whether token i is an unquoted word, given in upper case.
func (s *source) isWord(i int, upper string) bool {
	return s.word(i) == upper
}

// areWords reports whether the tokens from i on are these unquoted words, given in upper case.
func (s *source) areWords(i int, upper ...string) bool {
	for n, word := range upper {
		if !s.isWord(i+n, word) {
			return false
		}
	}
	return true
}

// isAnyWord reports whether token i is an unquoted word of the set, which is in upper case.
func (s *source) isAnyWord(i int, upper map[string]bool) bool {
	return upper[s.word(i)]
}

// closing returns the index of the parenthesis that closes the one at a token. It returns the
// number of tokens if there is none.
func (s *source) closing(open int) int {
	depth := 0
	for i := open; i < len(s.tokens); i++ {
		switch s.tokens[i].kind {
		case tokLeftParen:
			depth++
		case tokRightParen:
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(s.tokens)
}

// opening returns the index of the parenthesis that opens the one at a token. It returns -1 if
// there is none.
func (s *source) opening(closing int) int {
	depth := 0
	for i := closing; i >= 0; i-- {
		switch s.tokens[i].kind {
		case tokRightParen:
			depth++
		case tokLeftParen:
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// table returns the name of the table at token i, without its schema and as FoldName returns it,
// and the index of the token after it. The name is "" if there is none.
func (s *source) table(i int) (name string, next int) {
	if s.kind(i+1) == tokDot {
		i += 2
	}
	if i >= len(s.tokens) || !isName(s.tokens[i]) {
		return "", i
	}
	return FoldName(unquote(s.text(i))), i + 1
}

// isName reports whether a token can be a name.
func isName(tok token) bool { return tok.kind == tokWord || tok.kind == tokQuoted }
