package result

import (
	"strconv"
	"strings"
)

// ColumnType is the type of a column as rqlite sends it, in lower case: the declared one, or for an
// expression that of the first row's value. It is "" if there is neither.
type ColumnType string

// Class says what the values of a column are to be expected to be.
type Class uint8

// The classes. The zero value is AnyClass.
const (
	AnyClass Class = iota
	IntegerClass
	RealClass
	TextClass
	BlobClass
	BoolClass
	TimeClass
)

// Class returns what the values of a column of a result set are to be expected to be. Behind a first
// row whose value may have given the type, other rows may hold others: hasRows says that there is
// one.
func (t ColumnType) Class(hasRows bool) Class {
	if hasRows && t.mayBeOfValue() {
		return AnyClass
	}
	return t.declared()
}

// mayBeOfValue reports whether rqlite may have taken the type from a value, for a column that
// declares none.
func (t ColumnType) mayBeOfValue() bool {
	return t == "integer" || t == "real" || t == "text" || t == "blob"
}

// declared returns the class of a declared type. Together with StorageOf it follows
// mattn/go-sqlite3.
func (t ColumnType) declared() Class {
	switch StorageOf(string(t)) {
	case BoolStorage:
		return BoolClass
	case TimeStorage:
		return TimeClass
	case RealStorage:
		return RealClass
	case AnyStorage, SimilarStorage:
	}
	switch {
	case t.mentions("int"):
		return IntegerClass
	case t.mentions("char", "clob", "text"):
		return TextClass
	case strings.HasPrefix(string(t), "blob"):
		return BlobClass
	case t.mentions("numeric", "decimal"):
		return RealClass
	}
	return AnyClass
}

// Name returns the type in upper case, without length or precision.
func (t ColumnType) Name() string {
	name, _, _ := strings.Cut(string(t), "(")
	return strings.ToUpper(strings.TrimSpace(name))
}

// Length returns the length of a type such as varchar(20).
func (t ColumnType) Length() (int64, bool) {
	numbers := t.arguments()
	if len(numbers) != 1 || !t.mentions("char", "text", "clob", "blob", "binary") {
		return 0, false
	}
	return numbers[0], true
}

// PrecisionScale returns the numbers of a type such as decimal(10,2).
func (t ColumnType) PrecisionScale() (precision, scale int64, ok bool) {
	numbers := t.arguments()
	if !t.mentions("decimal", "numeric") {
		return 0, 0, false
	}
	switch len(numbers) {
	case 1:
		return numbers[0], 0, true
	case 2:
		return numbers[0], numbers[1], true
	}
	return 0, 0, false
}

// arguments returns the numbers in parentheses behind the type, nil if there is anything else.
func (t ColumnType) arguments() []int64 {
	_, inside, found := strings.Cut(string(t), "(")
	inside, _, closed := strings.Cut(inside, ")")
	if !found || !closed {
		return nil
	}
	var numbers []int64
	for part := range strings.SplitSeq(inside, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 64)
		if err != nil {
			return nil
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// mentions reports whether the type contains one of the words.
func (t ColumnType) mentions(words ...string) bool { return containsAny(string(t), words...) }
