package gormrqlite

import (
	"errors"

	"github.com/go-rqlite/rqlite"
	"gorm.io/gorm"
)

// translations are GORM's errors for SQLite's result codes.
var translations = []struct {
	code rqlite.Code
	name error
}{
	{rqlite.ConstraintUnique, gorm.ErrDuplicatedKey},
	{rqlite.ConstraintForeignKey, gorm.ErrForeignKeyViolated},
	{rqlite.ConstraintCheck, gorm.ErrCheckConstraintViolated},
}

// translated is an error of the driver that also is an error of GORM.
type translated struct{ name, cause error }

// Error returns the driver's message.
func (e *translated) Error() string { return e.cause.Error() }

// Unwrap returns both errors.
func (e *translated) Unwrap() []error { return []error{e.name, e.cause} }

// Translate implements gorm.ErrorTranslator.
func (d *dialector) Translate(err error) error {
	for _, t := range translations {
		// GORM translates errors of associations twice.
		if errors.Is(err, t.code) && !errors.Is(err, t.name) {
			return &translated{t.name, err}
		}
	}
	return err
}
