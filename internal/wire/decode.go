package wire

import (
	"errors"
	"io"
	"strconv"
	"sync"
)

// maxColumns is SQLite's upper limit on the columns of a result (SQLITE_MAX_COLUMN,
// https://www.sqlite.org/limits.html).
const maxColumns = 32767

// Result is one entry of "results" in a response: the server's answer to one statement.
type Result struct {
	LastInsertID int64
	RowsAffected int64
	Error        string   // "" when the statement succeeded
	Columns      []string // nil when the entry has no columns
	Types        []string // as many as Columns: lower-case declared types, or types that the server derived
	Seconds      float64  // how long the server worked on the statement; 0 if it does not tell. Complete after the last row
}

// Trailer holds the members of a response beside "results".
type Trailer struct {
	Error          string // error of the request as a whole; "" if there is none
	SequenceNumber int64  // number of a queued write; 0 for other requests
}

// place is the position of a Decoder in the document.
type place uint8

const (
	atStart    place = iota // before the document
	inResults               // before an entry of results, or its end
	inValues                // before a row, or the end of values
	inRow                   // within a row
	afterTable              // within an entry, after its values
	atEnd                   // after the document
)

// Decoder reads one response from a stream. The order of calls is: NextResult; for an entry with
// rows NextRow, and Cell once for each column of the row; then NextResult again until it returns
// io.EOF. Trailer is complete then.
//
// A Decoder is not safe for concurrent use. Its errors are those of the reader, io.ErrUnexpectedEOF
// for a response that ends early, and [*SyntaxError]. It returns io.EOF only from methods that
// document it. After an error nothing more can be read.
type Decoder struct {
	scan       scanner
	at         place
	first      bool // nothing of the current list has been read yet
	seen       bool // "results" was read
	sawTable   bool // the entry has "values"
	skims      bool // it skips columns and types
	bare       bool // the document is the entries alone, in memory
	result     Result
	begin      int64         // offset at which the entry begins
	known      *KnownColumns // nil to remember none
	sawColumns bool          // the member of the entry that was read last is "columns", and the first
	trailer    Trailer
	err        error
}

var decoders = sync.Pool{New: func() any { return new(Decoder) }}

// NewDecoder returns a Decoder that reads from r. Call Release when it is no longer used.
func NewDecoder(r io.Reader) *Decoder {
	d := decoders.Get().(*Decoder)
	scan := d.scan
	*d = Decoder{scan: scan}
	d.scan.reset(r)
	return d
}

// entryDecoders have no buffer of their own.
var entryDecoders = sync.Pool{New: func() any { return new(Decoder) }}

// NewEntryDecoder returns a Decoder that reads entries of "results", separated by commas, from b alone.
// The caller must not change b before Release. Call that when the decoder is no longer used.
func NewEntryDecoder(b []byte) *Decoder {
	d := entryDecoders.Get().(*Decoder)
	scratch := d.scan.scratch
	*d = Decoder{at: inResults, first: true, bare: true}
	d.scan = scanner{buf: b, end: len(b), scratch: scratch}
	return d
}

// Release returns the decoder and its buffers to the pool. The caller must not use the decoder or
// any of its Cells afterwards.
func (d *Decoder) Release() {
	const keep = 64 << 10 // a huge value must not hold memory for the life of the process
	if len(d.scan.buf) > keep || d.bare {
		d.scan.buf = nil
	}
	if cap(d.scan.scratch) > keep {
		d.scan.scratch = nil
	}
	pool := &decoders
	if d.bare {
		pool = &entryDecoders
	}
	*d = Decoder{scan: d.scan}
	d.scan.r = nil
	pool.Put(d)
}

// Trailer returns the members beside "results". It is complete after NextResult has returned
// io.EOF.
func (d *Decoder) Trailer() Trailer { return d.trailer }

// Result returns the entry that NextResult read last. If the statement failed while it returned
// rows, its Error is set after the last row has been read.
func (d *Decoder) Result() *Result { return &d.result }

// HasRows reports whether the current entry has rows that have not been read to the end.
func (d *Decoder) HasRows() bool { return d.at == inValues || d.at == inRow }

// Skim makes the decoder skip the columns and types of the entries to come, and not check them. It is
// for those who only look for where entries begin and end.
func (d *Decoder) Skim() { d.skims = true }

// NextResult reads the next entry of "results" up to its rows. It skips unread rows of the entry
// before. At the end of the response it returns io.EOF, after it has read the last byte. The next
// call overwrites the Result, but not its slices.
func (d *Decoder) NextResult() (*Result, error) {
	if d.err == nil {
		d.err = d.nextResult()
	}
	if d.err != nil {
		return nil, d.err
	}
	return &d.result, nil
}

func (d *Decoder) nextResult() error {
	switch d.at {
	case atStart:
		if err := d.scan.expect('{'); err != nil {
			return err
		}
		d.first = true
		if err := d.members(); err != nil {
			return err
		}
	case inRow, inValues:
		if err := d.skipRows(); err != nil {
			return err
		}
	case inResults, afterTable, atEnd:
	}
	if d.bare && d.scan.isEmpty() {
		d.at = atEnd
	}
	if d.at == atEnd {
		return io.EOF
	}
	again, err := d.scan.more(']', d.first)
	if err != nil {
		return err
	}
	if again {
		d.first = false
		return d.entry()
	}
	d.first = false
	if err := d.members(); err != nil { // "results" comes once, so these members end the document
		return err
	}
	return io.EOF
}

// members reads members of the top-level object until "results" opens or the document ends.
func (d *Decoder) members() error {
	for ; ; d.first = false {
		again, err := d.scan.more('}', d.first)
		if err != nil {
			return err
		}
		if !again {
			d.at = atEnd
			return d.eof()
		}
		opened, err := d.member()
		if err != nil {
			return err
		}
		if opened {
			d.at, d.first = inResults, true
			return nil
		}
	}
}

// member reads one member of the top-level object. If it is "results", member reads its opening
// bracket only, and opened is true.
func (d *Decoder) member() (opened bool, err error) {
	name, err := d.scan.key()
	if err != nil {
		return false, err
	}
	switch name {
	case "results":
		if d.seen {
			return false, d.scan.fault(`a second "results"`)
		}
		d.seen = true
		if c, err := d.scan.peek(); err == nil && c == 'n' {
			return false, d.scan.literal("null")
		}
		return true, d.scan.expect('[')
	case "error":
		d.trailer.Error, err = d.scan.string()
	case "sequence_number":
		d.trailer.SequenceNumber, err = d.integer()
	default:
		err = d.scan.skip(0)
	}
	return false, err
}

// eof returns an error if anything but white space follows.
func (d *Decoder) eof() error {
	c, err := d.scan.peek()
	if err == nil {
		return d.scan.fault("%q after the end of the document", c)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// Rest skips the rest of the current entry, after which its Error is complete. It returns the
// offsets in the response at which the entry begins and ends. At the end of the response these are the
// beginning of the last entry, and the end.
func (d *Decoder) Rest() (begin, end int64, err error) {
	if d.err == nil && (d.at == inRow || d.at == inValues) {
		d.err = d.skipRows()
	}
	if d.at == atEnd && errors.Is(d.err, io.EOF) {
		return d.begin, d.scan.offset(), nil
	}
	return d.begin, d.scan.offset(), d.err
}

// entry reads one entry of "results" up to its rows.
func (d *Decoder) entry() error {
	d.result = Result{}
	d.sawTable, d.sawColumns = false, false
	d.begin = d.scan.offset()
	if err := d.scan.expect('{'); err != nil {
		return err
	}
	return d.entryMembers(!d.recall())
}

// entryMembers reads members of an entry until "values" opens or it ends.
func (d *Decoder) entryMembers(first bool) error {
	for ; ; first = false {
		again, err := d.scan.more('}', first)
		if err != nil {
			return err
		}
		if !again {
			d.at = inResults
			return d.checkHeader()
		}
		opened, err := d.entryMember(first)
		if err != nil {
			return err
		}
		if opened {
			d.at, d.first, d.sawTable = inValues, true, true
			return d.checkHeader()
		}
	}
}

// entryMember reads one member of an entry; first says that none came before. If it is "values",
// entryMember reads its opening bracket only, and opened is true.
func (d *Decoder) entryMember(first bool) (opened bool, err error) {
	name, err := d.scan.key()
	if err != nil {
		return false, err
	}
	behindColumns := d.sawColumns
	d.sawColumns = first && name == "columns"
	switch name {
	case "columns":
		d.result.Columns, err = d.header()
	case "types":
		if d.result.Types, err = d.header(); err == nil && behindColumns {
			d.learn()
		}
	case "values":
		if d.sawTable {
			return false, d.scan.fault(`a second "values" in an entry`)
		}
		if c, err := d.scan.peek(); err == nil && c == 'n' {
			return false, d.scan.literal("null")
		}
		return true, d.scan.expect('[')
	case "last_insert_id":
		d.result.LastInsertID, err = d.integer()
	case "rows_affected":
		d.result.RowsAffected, err = d.integer()
	case "error":
		d.result.Error, err = d.scan.string()
	case "time":
		d.result.Seconds, err = d.seconds()
	default:
		err = d.scan.skip(0)
	}
	return false, err
}

// checkHeader returns an error if columns and types do not match, or if rows come without columns.
func (d *Decoder) checkHeader() error {
	if d.skims {
		return nil
	}
	if len(d.result.Columns) != len(d.result.Types) {
		return d.scan.fault("an entry with %d columns and %d types", len(d.result.Columns), len(d.result.Types))
	}
	if d.at == inValues && len(d.result.Columns) == 0 {
		return d.scan.fault("an entry whose values come before its columns")
	}
	return nil
}

// header reads an array of texts: column names or types.
func (d *Decoder) header() ([]string, error) {
	if d.skims {
		return nil, d.scan.skip(0)
	}
	if c, err := d.scan.peek(); err == nil && c == 'n' {
		return nil, d.scan.literal("null")
	}
	if err := d.scan.expect('['); err != nil {
		return nil, err
	}
	list := make([]string, 0, 4)
	for {
		again, err := d.scan.more(']', len(list) == 0)
		if err != nil || !again {
			return list, err
		}
		if len(list) == maxColumns {
			return nil, d.scan.fault("more than %d columns", maxColumns)
		}
		text, err := d.scan.string()
		if err != nil {
			return nil, err
		}
		list = append(list, text)
	}
}

// NextRow moves to the next row of the current entry; Cell reads its values. It returns io.EOF
// after the last row. The Error of the entry is complete then.
func (d *Decoder) NextRow() error {
	if d.err != nil {
		return d.err
	}
	switch d.at {
	case inValues:
	case inRow:
		if d.err = d.scan.expect(']'); d.err != nil {
			return d.err
		}
		d.at, d.first = inValues, false
	case atStart, inResults, afterTable, atEnd:
		return io.EOF
	}
	again, err := d.scan.more(']', d.first)
	if err == nil && !again {
		if err = d.endTable(); err == nil {
			return io.EOF
		}
	}
	if err == nil {
		err = d.scan.expect('[')
	}
	d.at, d.first, d.err = inRow, true, err
	return err
}

func (d *Decoder) endTable() error {
	d.at, d.first = afterTable, false
	return d.entryMembers(false)
}

func (d *Decoder) skipRows() error {
	if d.at == inRow { // some cells may have been read already
		for {
			again, err := d.scan.more(']', d.first)
			if err != nil {
				return err
			}
			if !again {
				break
			}
			d.first = false
			if err := d.scan.skip(0); err != nil {
				return err
			}
		}
		d.at, d.first = inValues, false
	}
	for {
		again, err := d.scan.more(']', d.first)
		if err != nil {
			return err
		}
		if !again {
			return d.endTable()
		}
		d.first = false
		if err := d.scan.skip(0); err != nil {
			return err
		}
	}
}

func (d *Decoder) integer() (int64, error) {
	text, err := d.numberText()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, d.scan.fault("a number that is no 64-bit integer")
	}
	return n, nil
}

// seconds reads a time. It returns 0 for what is no number: a time is not worth an error.
func (d *Decoder) seconds() (float64, error) {
	c, err := d.scan.peek()
	if err != nil || c != '-' && (c < '0' || c > '9') {
		return 0, d.scan.skip(0)
	}
	text, err := d.scan.number()
	if err != nil {
		return 0, err
	}
	seconds, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return 0, nil //nolint:nilerr // it is out of range
	}
	return seconds, nil
}

func (d *Decoder) numberText() (string, error) {
	if _, err := d.scan.peek(); err != nil {
		return "", err
	}
	text, err := d.scan.number()
	return string(text), err
}
