package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// What go test -json has said of some tests.
const events = `{"Action":"start"}
{"Action":"run","Test":"TestA"}
{"Action":"run","Test":"TestA/x"}
{"Action":"output","Test":"TestA/x","Output":"    a_test.go:7: why not\n"}
{"Action":"output","Test":"TestA/x","Output":"--- SKIP: TestA/x (0.00s)\n"}
{"Action":"skip","Test":"TestA/x"}
{"Action":"run","Test":"TestA/y"}
{"Action":"output","Test":"TestA/y","Output":"not to be seen\n"}
{"Action":"pass","Test":"TestA/y"}
{"Action":"pass","Test":"TestA"}
{"Action":"run","Test":"TestB"}
{"Action":"run","Test":"TestB/x"}
{"Action":"output","Test":"TestB/x","Output":"what is wrong\n"}
{"Action":"fail","Test":"TestB/x"}
{"Action":"fail","Test":"TestB"}
{"Action":"run","Test":"TestC"}
{"Action":"run","Test":"TestC/x"}
{"Action":"pass","Test":"TestC/x"}
{"Action":"fail","Test":"TestC"}
{"Action":"run","Test":"TestD"}
{"Action":"output","Output":"summary\n"}
`

func TestOutcome(t *testing.T) {
	t.Parallel()
	var said, table strings.Builder
	s, o := newSuite("dir"), &outcome{release: "v9.4.5"}
	for line := range strings.Lines(events) {
		s.read([]byte(line), &said)
	}
	s.read([]byte("no event"), &said)
	o.add(s, errors.New("exit status 1"))
	o.print(&table)
	assert.Equal(t, "what is wrong\nsummary\nno event", said.String())
	assert.Equal(t, `  v9.4.5      2 passed, 3 failed, 1 skipped
      failed: TestB/x
      failed: TestC
      failed: TestD (has not ended)
      skipped: TestA/x: why not
`, table.String())
	assert.False(t, o.good())
}

func TestOutcomeOfNothing(t *testing.T) {
	t.Parallel()
	o := &outcome{}
	o.add(newSuite("dir"), nil)
	assert.False(t, o.good(), "no test ran")
	o.add(newSuite("dir"), errors.New("exit status 2"))
	assert.Equal(t, []string{"go test in dir: exit status 2"}, o.failed)
	o = &outcome{}
	s := newSuite("dir")
	s.read([]byte(`{"Action":"run","Test":"T"}`), &strings.Builder{})
	s.read([]byte(`{"Action":"pass","Test":"T"}`), &strings.Builder{})
	o.add(s, nil)
	assert.True(t, o.good())
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	assert.ErrorContains(t, run(" , ", nil, &strings.Builder{}), "RQLITED_BINS")
	assert.ErrorContains(t, run("/nowhere/rqlited", nil, &strings.Builder{}), "/nowhere/rqlited")
}
