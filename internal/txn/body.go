package txn

// body is the body of a request under construction. Its statements hold no character that JSON
// would escape.
type body []byte

func (b *body) statement(text string) {
	b.open()
	*b = append(append(append(*b, '"'), text...), '"')
}

func (b *body) encoded(statement []byte) {
	b.open()
	*b = append(*b, statement...)
}

// open begins a further element.
func (b *body) open() {
	open := byte(',')
	if len(*b) == 0 {
		open = '['
	}
	*b = append(*b, open)
}

// around is about the size of what the driver adds to the statements of a transaction.
const around = 512

// newBody returns an empty body with room for lists of operations.
func newBody(lists ...operations) body {
	size := around
	for _, list := range lists {
		for _, o := range list {
			size += len(o.body) + 1
		}
	}
	return make(body, 0, size)
}

func (b *body) end() []byte { return append(*b, ']') }

// reads adds the statements of a list that only reads.
func (b *body) reads(list operations) {
	for _, o := range list {
		b.encoded(o.body)
	}
}
