package gormrqlite

import (
	"errors"

	"github.com/go-rqlite/rqlite"
	"gorm.io/gorm"
)

// translations are GORM's names for what SQLite tells by codes.
var translations = []struct {
	code rqlite.Code
	name error
}{
	{rqlite.ConstraintUnique, gorm.ErrDuplicatedKey},
	{rqlite.ConstraintForeignKey, gorm.ErrForeignKeyViolated},
	{rqlite.ConstraintCheck, gorm.ErrCheckConstraintViolated},
}

// translated is an error of the driver that has a name in GORM.
type translated struct{ name, cause error }

// Error returns the driver's message.
func (e *translated) Error() string { return e.cause.Error() }

// Unwrap returns both.
func (e *translated) Unwrap() []error { return []error{e.name, e.cause} }

// Translate implements gorm.ErrorTranslator.
func (d *dialector) Translate(err error) error {
	for _, t := range translations {
		// GORM has errors of associations translated twice.
		if errors.Is(err, t.code) && !errors.Is(err, t.name) {
			return &translated{t.name, err}
		}
	}
	return err
}
