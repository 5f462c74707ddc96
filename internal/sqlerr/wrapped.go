package sqlerr

import (
	"errors"
	"strings"
)

// wrapped is an error of a kind: of one of the sentinels, a Code, or the end of a context.
type wrapped struct {
	kind, err error
	form      form
}

// form says what a wrapped error shows of its two parts.
type form uint8

const (
	both   form = iota // the text of the kind, and why; errors.Is and errors.As find either
	told               // err says all there is to say; errors.Is finds the kind
	within             // like told, for a text that stands within that of another error
)

// Of returns an error that says what a kind says, and why. errors.Is and errors.As find both.
func Of(kind, why error) error { return &wrapped{kind, why, both} }

// Told returns an error with the text of err, which says all there is to say, and is of a kind
// besides.
func Told(err, kind error) error { return &wrapped{kind, err, told} }

// Within is Told for an error whose text stands within that of another.
func Within(err, kind error) error { return &wrapped{kind, err, within} }

// Error implements error.
func (w *wrapped) Error() string {
	switch w.form {
	case told:
		return "rqlite: " + w.err.Error()
	case within:
		return w.err.Error()
	case both:
	}
	return "rqlite: " + w.kind.Error() + ": " + strings.TrimPrefix(w.err.Error(), "rqlite: ")
}

// Is reports whether target is the kind.
func (w *wrapped) Is(target error) bool { return errors.Is(w.kind, target) }

// Unwrap returns both parts where both are shown.
func (w *wrapped) Unwrap() []error {
	if w.form == both {
		return []error{w.kind, w.err}
	}
	return nil
}
