package sqlerr

import "fmt"

// At says which statement of a script an error is about.
func At(err error, statement, statements int) error {
	if statements == 1 {
		return err
	}
	return fmt.Errorf("statement %d of %d: %w", statement+1, statements, err)
}
