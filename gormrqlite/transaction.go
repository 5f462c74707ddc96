package gormrqlite

import (
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// operation is a kind of write for which GORM begins a transaction.
type operation string

const (
	creating operation = "create"
	updating operation = "update"
	deleting operation = "delete"
)

const (
	beginName  = "gorm:begin_transaction"
	commitName = "gorm:commit_or_rollback_transaction"
)

// register registers GORM's callbacks. They begin transactions only where needed.
func (d *dialector) register(db *gorm.DB, cfg *callbacks.Config) {
	skip := db.SkipDefaultTransaction
	db.SkipDefaultTransaction = true // otherwise GORM registers a begin callback, and logs that it is replaced
	callbacks.RegisterDefaultCallbacks(db, cfg)
	db.SkipDefaultTransaction = skip
	if skip {
		return
	}
	d.callbacks = map[operation]int{}
	for _, op := range []operation{creating, updating, deleting} {
		begin := func(tx *gorm.DB) {
			if d.needsTransaction(tx, op) {
				callbacks.BeginTransaction(tx)
			}
		}
		registerIn(db, op, begin)
		d.callbacks[op] = countCallbacks(db, op)
	}
}

// needsTransaction reports whether a call may send more than one statement.
func (d *dialector) needsTransaction(tx *gorm.DB, op operation) bool {
	stmt := tx.Statement
	if stmt.Schema == nil {
		return false
	}
	known := countCallbacks(tx, op)
	return known == unknown || known != d.callbacks[op] ||
		!stmt.SkipHooks && hasHooks(stmt.Schema, op) ||
		op == deleting && len(stmt.Selects) > 0 ||
		op != deleting && savesAssociations(stmt)
}

func hasHooks(s *schema.Schema, op operation) bool {
	switch op {
	case creating:
		return s.BeforeSave || s.BeforeCreate || s.AfterCreate || s.AfterSave
	case updating:
		return s.BeforeSave || s.BeforeUpdate || s.AfterUpdate || s.AfterSave
	default:
		return s.BeforeDelete || s.AfterDelete
	}
}

// savesAssociations reports whether a value of the statement has associations. GORM may still leave
// them out. The transaction is not needed then, but does no harm.
func savesAssociations(stmt *gorm.Statement) bool {
	if len(stmt.Schema.Relationships.Relations) == 0 {
		return false
	}
	for _, omitted := range stmt.Omits {
		if omitted == clause.Associations {
			return false
		}
	}
	return holdsAssociations(stmt, reflect.ValueOf(stmt.Dest)) || holdsAssociations(stmt, reflect.ValueOf(stmt.Model))
}

func holdsAssociations(stmt *gorm.Statement, value reflect.Value) bool {
	for value.Kind() == reflect.Pointer || value.Kind() == reflect.Interface {
		value = value.Elem()
	}
	switch {
	case value.Kind() == reflect.Slice || value.Kind() == reflect.Array:
		for i := range value.Len() {
			if holdsAssociations(stmt, value.Index(i)) {
				return true
			}
		}
	case value.Kind() == reflect.Map:
		return true // its keys may be associations
	case value.IsValid() && value.Type() == stmt.Schema.ModelType:
		for _, relation := range stmt.Schema.Relationships.Relations {
			// Relations of a join table have fields of the models that it joins.
			if relation.Field.Schema != stmt.Schema {
				return true
			}
			if _, zero := relation.Field.ValueOf(stmt.Context, value); !zero {
				return true
			}
		}
	case value.IsValid():
		return true // a value of an unknown type
	}
	return false
}

// registerIn registers a begin callback before the callbacks of an operation, and a commit callback
// after them.
func registerIn(db *gorm.DB, op operation, begin func(*gorm.DB)) {
	first, last := "gorm:before_"+string(op), "gorm:after_"+string(op)
	commit := callbacks.CommitOrRollbackTransaction
	// Plugins refer to these names of GORM. GORM has not registered them, see register.
	switch op {
	case creating:
		_ = db.Callback().Create().Before(first).Register(beginName, begin)
		_ = db.Callback().Create().After(last).Register(commitName, commit)
	case updating:
		_ = db.Callback().Update().Before(first).Register(beginName, begin)
		_ = db.Callback().Update().After(last).Register(commitName, commit)
	case deleting:
		_ = db.Callback().Delete().Before(first).Register(beginName, begin)
		_ = db.Callback().Delete().After(last).Register(commitName, commit)
	}
}

// callbacksOf returns GORM's processor for an operation. Its type is not exported.
func callbacksOf(db *gorm.DB, op operation) any {
	switch op {
	case creating:
		return db.Callback().Create()
	case updating:
		return db.Callback().Update()
	default:
		return db.Callback().Delete()
	}
}

// unknown is the number of callbacks if it cannot be found out. It equals no known number.
const unknown = -1

// countCallbacks returns the number of callbacks of an operation. GORM does not export it, so it is
// read by reflection. If GORM changes the field, each write gets a transaction.
func countCallbacks(db *gorm.DB, op operation) int {
	list := reflect.ValueOf(callbacksOf(db, op)).Elem().FieldByName("callbacks")
	if list.Kind() != reflect.Slice {
		return unknown
	}
	return list.Len()
}
