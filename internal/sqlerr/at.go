package sqlerr

import (
	"errors"
	"fmt"
)

// At says which statement of a script an error is about.
func At(err error, statement, statements int) error {
	if statements == 1 {
		return err
	}
	return fmt.Errorf("statement %d of %d: %w", statement+1, statements, err)
}

// Renumbered says of the failure of a statement where it stands in the whole script.
func Renumbered(err error, statement, statements int) error {
	var failed *Error
	if errors.As(err, &failed) && failed.Statement >= 0 {
		failed.Statement, failed.Statements = statement, statements
	}
	return err
}
