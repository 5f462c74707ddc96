package rewrite

import (
	"errors"
	"strings"
)

var errSchemaCall = errors.New("schema-qualified function calls are not supported in IN/NOT IN expressions")

// call reads the rest of a function call. It replaces the call or its arguments.
func (p *parser) call(name token) (frag, error) {
	p.take()
	var args []frag
	distinct, inside := "", frag{}
	if p.accept("*") {
		inside = lit("*")
	} else {
		if p.accept("DISTINCT") {
			distinct = "DISTINCT"
		}
		for !p.tok.is(")") {
			x, err := p.expr()
			if err != nil {
				return x, err
			}
			args = append(args, x)
			if !p.accept(",") && !p.tok.is(")") {
				return x, p.expected("comma or right paren")
			}
		}
		if distinct != "" && len(args) > 0 {
			distinct += " "
		}
	}
	if err := p.expect(")", "right paren"); err != nil {
		return frag{}, err
	}
	tail, err := p.callTail()
	if err != nil {
		return tail, err
	}
	if inside.text == "" {
		inside = cat(distinct, list(p.replaceNow(name.lit, args)))
	}
	f := cat(name.lit, "(", inside, ")", tail)
	if timeFunction(name.lit, len(args)) && p.opts.Time {
		f.changed = true // even without a 'now'
	}
	return p.replaceRandom(name.lit, args, f), nil
}

// callTail reads FILTER and OVER.
func (p *parser) callTail() (frag, error) {
	var out frag
	if p.accept("FILTER") {
		if err := p.expect("(", "left paren"); err != nil {
			return out, err
		}
		if err := p.expect("WHERE", "WHERE"); err != nil {
			return out, err
		}
		x, err := p.expr()
		if err != nil {
			return x, err
		}
		if err := p.expect(")", "right paren"); err != nil {
			return x, err
		}
		out = cat(" FILTER (WHERE ", x, ")")
	}
	if p.accept("OVER") {
		if p.tok.isPlainName() {
			return cat(out, " OVER ", ident(p.take())), nil
		}
		def, err := p.windowDefinition()
		return cat(out, " OVER ", def), err
	}
	return out, nil
}

// timeFunction reports whether 'now' is replaced in a function with that many arguments.
func timeFunction(name string, args int) bool {
	switch strings.ToLower(name) {
	case "date", "time", "datetime", "julianday", "unixepoch":
		return args > 0
	case "strftime", "timediff":
		return args > 1
	default:
		return false
	}
}

// replaceNow replaces 'now' in the time arguments of a function, in any quotes or none.
func (p *parser) replaceNow(name string, args []frag) []frag {
	if !p.opts.Time || !timeFunction(name, len(args)) {
		return args
	}
	positions := []int{0}
	switch strings.ToLower(name) {
	case "strftime":
		positions = []int{1}
	case "timediff":
		positions = []int{0, 1}
	}
	out := append([]frag(nil), args...)
	for _, i := range positions {
		if strings.EqualFold(args[i].plain, "'now'") || strings.EqualFold(args[i].plain, `"now"`) {
			out[i] = frag{text: p.now, plain: args[i].plain}
		}
	}
	return out
}

// replaceRandom replaces random() and randomblob(n), except in ORDER BY.
func (p *parser) replaceRandom(name string, args []frag, call frag) frag {
	if !p.opts.Random || p.ordering {
		return call
	}
	switch {
	case strings.EqualFold(name, "random"):
		return frag{text: randomInt(), plain: call.plain, changed: true}
	case strings.EqualFold(name, "randomblob") && len(args) == 1:
		if n, ok := isCount(args[0]); ok {
			return frag{text: randomBlob(n), plain: call.plain, changed: true}
		}
	}
	return call
}
