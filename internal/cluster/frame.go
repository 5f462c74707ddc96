package cluster

// Frame is what a caller puts around the statements of a request. The [Answer] reads its entries by
// itself: Before in [Client.Send], and After in [Answer.End]. A nil *Frame has no statements. A
// Frame is safe for concurrent use.
type Frame struct {
	Before, After Elements
}

// Elements are statements of a frame. The zero value has none.
type Elements struct {
	JSON  []byte // elements of the body, separated by commas
	Count int    // number of elements
	// Read reads the entries that answer them. It is nil if the answer has none, as with queued
	// writes. Send or End return its error as it is; their other errors are [*Error].
	Read func(*Answer) error
}

// read reads the entries of the elements.
func (e *Elements) read(a *Answer) error {
	if e.Read == nil {
		return nil
	}
	return e.Read(a)
}

// Open returns the beginning of a body of about size bytes plus the frame. The statements come
// next, separated by commas.
func (f *Frame) Open(size int) []byte {
	if f == nil {
		return append(make([]byte, 0, size+2), '[')
	}
	body := append(make([]byte, 0, size+len(f.Before.JSON)+len(f.After.JSON)+4), '[')
	if f.Before.Count > 0 {
		body = append(append(body, f.Before.JSON...), ',')
	}
	return body
}

// Close returns the body with its end. There must be at least one statement before.
func (f *Frame) Close(body []byte) []byte {
	if f != nil && f.After.Count > 0 {
		body = append(append(body, ','), f.After.JSON...)
	}
	return append(body, ']')
}

// NewElements returns statements for a frame, and the function that reads their entries. No text
// may hold a character that JSON escapes.
func NewElements(read func(*Answer) error, texts ...string) Elements {
	return Elements{JSON: appendTexts(nil, texts), Count: len(texts), Read: read}
}

// Join returns statements of several parts of a frame, each of which reads its entries.
func Join(parts []Elements) (all Elements) {
	size := 0
	for i := range parts {
		size += len(parts[i].JSON) + 1
	}
	all.JSON = make([]byte, 0, size)
	for i := range parts {
		if i > 0 {
			all.JSON = append(all.JSON, ',')
		}
		all.JSON = append(all.JSON, parts[i].JSON...)
		all.Count += parts[i].Count
	}
	all.Read = func(a *Answer) error {
		for i := range parts {
			if err := parts[i].read(a); err != nil {
				return err
			}
		}
		return nil
	}
	return all
}

// BodyOf returns the body of a request of statements without values. No text may hold a character
// that JSON escapes.
func BodyOf(texts ...string) []byte { return append(appendTexts([]byte{'['}, texts), ']') }

func appendTexts(body []byte, texts []string) []byte {
	for i, text := range texts {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(append(append(body, '"'), text...), '"')
	}
	return body
}
