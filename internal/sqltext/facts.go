package sqltext

import "sync"

// facts are what [Statement.Shape], [Statement.Target] and [Statement.GivenRows] return for a
// statement that a [Cache] keeps, because it is probably used often. They are found when somebody asks
// for the first time. They are safe for concurrent use.
type facts struct {
	text string // of the statement; an edited copy of the statement has another one
	once sync.Once

	// find sets the rest.
	shape, target string
	given         *GivenRows
}

// keepFacts makes the statements of a script keep what is found out about them.
func keepFacts(script []Statement) {
	kept := make([]facts, len(script))
	for i := range script {
		kept[i].text = script[i].Text
		script[i].facts = &kept[i]
	}
}

// kept returns the facts of the statement, nil if it keeps none.
func (s *Statement) kept() *facts {
	f := s.facts
	if f == nil || f.text != s.Text {
		return nil
	}
	f.once.Do(func() { f.shape, f.target, f.given = s.findShape(), s.findTarget(), s.findGivenRows() })
	return f
}

// Shape returns the text of a write with # in the place of each literal: of numbers, texts and BLOBs.
// Programs that write values into their statements send many texts of one shape. The shape of another
// statement is its text.
func (s *Statement) Shape() string {
	if f := s.kept(); f != nil {
		return f.shape
	}
	return s.findShape()
}

// Target returns the name of the table that an INSERT, UPDATE or DELETE changes, without its schema
// and as FoldName returns it. It is "" for another statement, and for one behind WITH.
func (s *Statement) Target() string {
	if f := s.kept(); f != nil {
		return f.target
	}
	return s.findTarget()
}

// GivenRows returns what an INSERT lists, nil for another statement. Nobody may change it.
func (s *Statement) GivenRows() *GivenRows {
	if f := s.kept(); f != nil {
		return f.given
	}
	return s.findGivenRows()
}
