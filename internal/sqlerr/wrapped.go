package sqlerr

import (
	"errors"
	"strings"
)

// wrapped is an error of a kind: one of the sentinels, a Code, or the end of a context.
type wrapped struct {
	kind, err error
	form      form
}

// form says how a wrapped error shows its two parts.
type form uint8

const (
	both   form = iota // the texts of the kind and of err; errors.Is and errors.As find both
	told               // the text of err alone; errors.Is finds the kind
	within             // like told, without the prefix, for a text within that of another error
)

// Of returns an error with the texts of a kind and of why. errors.Is and errors.As find both.
func Of(kind, why error) error { return &wrapped{kind, why, both} }

// Told returns an error with the text of err alone, which says all. errors.Is finds the kind.
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

// Unwrap returns both parts if both are shown.
func (w *wrapped) Unwrap() []error {
	if w.form == both {
		return []error{w.kind, w.err}
	}
	return nil
}
