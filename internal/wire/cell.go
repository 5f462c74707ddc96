package wire

import (
	"slices"
	"strconv"
)

// Kind is the JSON kind of a cell.
type Kind uint8

// The kinds of a cell.
const (
	Null Kind = iota
	False
	True
	Number // Data is the number's text
	Text   // Data is the text
	Blob   // Data is the bytes of a BLOB, sent as an array
)

// Cell is one value of a row. The zero value is a NULL. Data is valid until the next call of a
// method of the decoder.
type Cell struct {
	Kind Kind
	Data []byte
}

// Cell reads the next value of the current row. A row must have as many values as the entry has
// columns: with fewer Cell returns a [*SyntaxError], with more NextRow does.
func (d *Decoder) Cell() (Cell, error) {
	if d.err != nil {
		return Cell{}, d.err
	}
	var cell Cell
	again, err := d.scan.more(']', d.first)
	switch {
	case err != nil:
	case !again:
		err = d.scan.fault("a row with fewer values than there are columns")
	default:
		d.first = false
		cell, err = d.value()
	}
	d.err = err
	return cell, err
}

func (d *Decoder) value() (Cell, error) {
	c, err := d.scan.peek()
	if err != nil {
		return Cell{}, err
	}
	var cell Cell
	switch c {
	case '"':
		cell.Kind = Text
		d.scan.value = true
		cell.Data, err = d.scan.text()
		d.scan.value = false
	case 'n':
		err = d.scan.literal("null")
	case 't':
		cell.Kind = True
		err = d.scan.literal("true")
	case 'f':
		err = d.scan.literal("false")
		cell.Kind = False
	case '[':
		cell.Kind = Blob
		cell.Data, err = d.blob()
	case '{':
		err = d.scan.fault("an object instead of a value")
	default:
		cell.Kind = Number
		cell.Data, err = d.scan.number()
	}
	return cell, err
}

// blob reads an array of byte values.
func (d *Decoder) blob() ([]byte, error) {
	s := &d.scan
	s.pos++
	out := s.scratch[:0]
	for first := true; ; first = false {
		again, err := s.more(']', first)
		if err != nil {
			return nil, err
		}
		if !again {
			s.scratch = out
			return out, nil
		}
		if len(out) >= maxToken {
			return nil, s.fault("a BLOB is longer than %d bytes", maxToken)
		}
		if need := s.end - s.pos; cap(out)-len(out) < need {
			out = slices.Grow(out, len(out)+need) // append would grow in steps of a quarter
		}
		out = d.blobRun(out)
		text, err := s.number()
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(string(text), 10, 8)
		if err != nil {
			return nil, s.fault("a BLOB with an element that is no byte")
		}
		out = append(out, byte(n))
	}
}

// blobRun reads the elements that are whole in the buffer and have the server's usual form: digits
// and a comma. It stops before the last element and before anything unusual. The general code of
// blob reads those.
func (d *Decoder) blobRun(out []byte) []byte {
	s := &d.scan
	buf := s.buf[s.pos:s.end]
	for len(buf) >= 5 {
		n, size := uint(buf[0]-'0'), 1
		if n > 9 {
			break
		}
		for ; size < 4 && buf[size]-'0' <= 9; size++ {
			n = n*10 + uint(buf[size]-'0')
		}
		leadingZero := buf[0] == '0' && size > 1
		if buf[size] != ',' || n > 255 || leadingZero || buf[size+1]-'0' > 9 {
			break
		}
		out = append(out, byte(n))
		buf = buf[size+1:]
		s.pos += size + 1
	}
	return out
}
