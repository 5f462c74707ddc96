package sqlerr

import (
	"errors"
	"fmt"
)

// At adds to an error which statement of a script it is about, if there are several.
func At(err error, statement, statements int) error {
	if statements == 1 {
		return err
	}
	return fmt.Errorf("statement %d of %d: %w", statement+1, statements, err)
}

// Renumbered sets the position of a failed statement to that in the whole script.
func Renumbered(err error, statement, statements int) error {
	var failed *Error
	if errors.As(err, &failed) && failed.Statement >= 0 {
		failed.Statement, failed.Statements = statement, statements
	}
	return err
}
