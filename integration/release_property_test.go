package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReleaseProperty runs random programs, many of whose statements fail, by this
// driver and on SQLite. Each statement has to end the same way in both, and the same
// has to be in the tables. RQLITE_SEED and RQLITE_PROGRAM run one program again.
func TestReleaseProperty(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		c := b.launch(t, serverOptions{foreignKeys: true})
		seed := uint64(envInt(t, "RQLITE_SEED", time.Now().UnixNano()))
		first, programs := 0, either(300, 10_000)
		if only := envInt(t, "RQLITE_PROGRAM", -1); only >= 0 {
			first, programs = int(only), 1
		}
		r := &property{t: t, cluster: c, oracle: openOracle(t), lenient: undoesReturning.before(c.version), tally: map[string]int{}}
		begun := time.Now()
		ran := 0
		for r.failed < 3 && (ran < programs || programs > 1 && ran < 3*programs && len(r.untried()) > 0) {
			r.run(newProgram(seed, first+ran))
			ran++
		}
		report(t, "RQLITE_SEED=%d: %d programs in %v, %d failed; %v", seed, ran, time.Since(begun).Round(time.Second), r.failed, r.tally)
		if programs > 1 && r.failed == 0 {
			assert.Empty(t, r.untried(), "or the test says nothing")
		}
	})
}

// property runs programs.
type property struct {
	t       *testing.T
	cluster *cluster
	oracle  *sql.DB
	subject *joined
	lenient bool // what is atomic may be refused where it has RETURNING
	failed  int
	tally   map[string]int
	joined  uint64 // writes that have waited for others

	wrong []string // of the program that runs
}

// untried returns the kinds of things that were not tried often enough.
func (r *property) untried() (kinds []string) {
	enough := map[string]int{}
	for _, w := range ways {
		for _, end := range []string{"success", "failure"} {
			enough[fmt.Sprintf("%s: %s", w, end)] = 11
			if r.lenient && (w == atomicBatch || w == interactive || w == pipelined) {
				continue // RETURNING may be refused
			}
			enough[fmt.Sprintf("%s with RETURNING: %s", w, end)] = 1
		}
	}
	for kind, n := range enough {
		if r.tally[kind] < n {
			kinds = append(kinds, kind)
		}
	}
	if r.joined <= 50 {
		kinds = append(kinds, "writes that have waited for others")
	}
	return kinds
}

// run runs a program from its beginning, by a connector that may know what programs
// before it have seen.
func (r *property) run(p *program) {
	r.t.Helper()
	if r.subject == nil || p.number%3 == 0 {
		r.subject = openJoined(r.t, r.cluster.dsn)
	}
	waited := r.subject.connector.Stats().Coalesced
	r.wrong = nil
	schema := strings.ReplaceAll(propertySchema, "@", p.prefix)
	mustExec(r.t, r.oracle, schema)
	r.cluster.rawExecute(r.t, schema)
	registerStates[p.register].prepare(r.t, r.cluster, r.subject.DB)
	for i, a := range p.acts {
		r.act(a)
		want, got := r.rows(r.oracle, p), r.rows(r.subject, p)
		r.same("the tables", want, got)
		if len(r.wrong) > 0 {
			r.failed++
			r.t.Errorf("%v\nact %d goes wrong:\n%s", p, i, strings.Join(r.wrong, "\n"))
			break
		}
	}
	r.joined += r.subject.connector.Stats().Coalesced - waited
}

// rows returns all rows of the tables of a program, in an order of their own.
func (r *property) rows(h handle, p *program) string {
	r.t.Helper()
	var parts []string
	for _, table := range propertyTables {
		columns := map[string]string{
			"@n": "v, NULL, NULL, NULL", "@a": "k, u, v, s", "@w": "k, v, NULL, NULL",
			"@dad": "k, NULL, NULL, NULL", "@kid": "k, p, NULL, NULL",
		}[table]
		parts = append(parts, fmt.Sprintf("SELECT '%s' AS t, %s FROM %s", table[1:], columns, strings.ReplaceAll(table, "@", p.prefix)))
	}
	parts = append(parts, fmt.Sprintf("SELECT 'schema', name, type, sql, NULL FROM sqlite_schema WHERE name LIKE '%s%%'", p.prefix))
	text, err := rowsText(r.t.Context(), h, strings.Join(parts, " UNION ALL "))
	require.NoError(r.t, err)
	return sortedLines(text)
}

func sortedLines(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n")
}

// same notes in what the two databases differ.
func (r *property) same(what, want, got string) {
	if want != got {
		r.wrong = append(r.wrong, fmt.Sprintf("%s\n\twant %s\n\tgot  %s", what,
			strings.ReplaceAll(want, "\n", "\n\t     "), strings.ReplaceAll(got, "\n", "\n\t     ")))
	}
}

// count notes how an act or a statement ended.
func (r *property) count(w way, returning bool, kind string) {
	end := "failure"
	if !strings.HasPrefix(kind, "error: ") {
		end = "success"
	}
	r.tally[fmt.Sprintf("%s: %s", w, end)]++
	if returning {
		r.tally[fmt.Sprintf("%s with RETURNING: %s", w, end)]++
	}
}

// ended runs a statement and returns all that a program is told.
func ended(ctx context.Context, h handle, s propertyStatement) (text string, err error) {
	if s.gives() {
		text, err = rowsText(ctx, h, s.query, s.args...)
	} else {
		var result sql.Result
		if result, err = h.ExecContext(ctx, s.query, s.args...); err == nil && s.counts {
			var n int64
			n, err = result.RowsAffected()
			text = fmt.Sprintf("%d rows affected", n)
		}
	}
	return toldOf(text, err), err
}

// toldOf returns the text of what went well, or the kind of error.
func toldOf(text string, err error) string {
	if err != nil {
		return "error: " + kindOf(err)
	}
	if text == "" {
		return "done"
	}
	return sortedLines(text)
}

func (r *property) act(a act) {
	r.t.Helper()
	switch a.way {
	case single:
		r.single(a.statements[0])
	case scripted:
		r.script(a.statements)
	case plainBatch:
		r.batch(a.statements)
	case atomicBatch:
		r.atomic(a.statements)
	case joinedWay:
		r.joinedAct(a.goroutines)
	case interactive:
		r.interactive(a)
	case pipelined:
		r.pipelined(a)
	}
}

func (r *property) single(s propertyStatement) {
	want, _ := ended(r.t.Context(), r.oracle, s)
	got, _ := ended(r.t.Context(), r.subject, s)
	r.same(s.String(), want, got)
	r.count(single, s.returning, want)
}

// script runs statements by one Exec.
func (r *property) script(list []propertyStatement) {
	var texts []string
	var args []any
	returning := false
	for _, s := range list {
		texts = append(texts, s.query)
		args = append(args, s.args...)
		returning = returning || s.returning
	}
	whole := propertyStatement{query: strings.Join(texts, "; "), args: args}
	last := list[len(list)-1]
	whole.counts = last.counts && !last.returning
	want, _ := ended(r.t.Context(), r.oracle, whole)
	got, _ := ended(r.t.Context(), r.subject, whole)
	r.same("the script", want, got)
	r.count(scripted, returning, want)
}

func batchOf(list []propertyStatement) (b rqlite.Batch) {
	for _, s := range list {
		b.Add(s.query, s.args...)
	}
	return b
}

// toldByBatch returns what a program is told of a statement in a batch.
func toldByBatch(s propertyStatement, result rqlite.BatchResult) string {
	text := ""
	switch {
	case s.gives():
		text = textOf(result)
	case s.counts:
		text = fmt.Sprintf("%d rows affected", result.RowsAffected)
	}
	return toldOf(text, result.Err)
}

// batch runs statements that are independent of each other.
func (r *property) batch(list []propertyStatement) {
	b := batchOf(list)
	results, err := b.Exec(r.t.Context(), r.subject.DB)
	if len(results) != len(list) {
		r.same("the batch", "results", fmt.Sprintf("%d results, %v", len(results), err))
		results = make([]rqlite.BatchResult, len(list))
	}
	for i, s := range list {
		want, _ := ended(r.t.Context(), r.oracle, s)
		r.same(s.String(), want, toldByBatch(s, results[i]))
		r.count(plainBatch, s.returning, want)
	}
}

// refused reports whether the driver may, and does, say that it cannot do an act.
func (r *property) refused(w way, list []propertyStatement, err error) bool {
	if !r.lenient || !anyReturning(list) || !declined(err) {
		return false
	}
	r.tally[string(w)+": refused"]++
	return true
}

func anyReturning(list []propertyStatement) bool {
	return slices.ContainsFunc(list, func(s propertyStatement) bool { return s.returning })
}

// atomic runs statements of which all have an effect, or none.
func (r *property) atomic(list []propertyStatement) {
	b := batchOf(list)
	b.Atomic = true
	results, err := b.Exec(r.t.Context(), r.subject.DB)
	if r.refused(atomicBatch, list, err) {
		return
	}
	wants, failure := r.inOracle(list)
	r.same("the batch", toldOf("", failure), toldOf("", err))
	if failure == nil && err == nil {
		for i, s := range list {
			r.same(s.String(), wants[i], toldByBatch(s, results[i]))
		}
	}
	r.count(atomicBatch, anyReturning(list), toldOf("", failure))
}

// inOracle runs statements on SQLite, all or nothing.
func (r *property) inOracle(list []propertyStatement) (wants []string, failure error) {
	failure = once(r.t.Context(), r.oracle, nil, func(tx *sql.Tx) error {
		for _, s := range list {
			want, err := ended(r.t.Context(), tx, s)
			if err != nil {
				return err
			}
			wants = append(wants, want)
		}
		return nil
	})
	return wants, failure
}

// joinedAct has goroutines write at the same time, on SQLite one after the other: what
// each is told is about its own rows alone.
func (r *property) joinedAct(all [][]propertyStatement) {
	wants, gots := make([][]string, len(all)), make([][]string, len(all))
	run := func(h handle, told [][]string) func(int) {
		return func(g int) {
			for _, s := range all[g] {
				text, _ := ended(r.t.Context(), h, s)
				told[g] = append(told[g], text)
			}
		}
	}
	inTurn(len(all), run(r.oracle, wants))
	together(len(all), run(r.subject, gots))
	for g := range all {
		for i, s := range all[g] {
			r.same(fmt.Sprintf("goroutine %d: %v", g, s), wants[g][i], gots[g][i])
			r.count(joinedWay, s.returning, wants[g][i])
		}
	}
}

// interactive runs a transaction whose statements tell at once how they end.
func (r *property) interactive(a act) {
	r.t.Helper()
	ctx := r.t.Context()
	theirs, err := r.oracle.BeginTx(ctx, nil)
	require.NoError(r.t, err)
	defer theirs.Rollback()
	ours, err := r.subject.BeginTx(ctx, nil)
	require.NoError(r.t, err)
	defer ours.Rollback()
	for _, s := range a.statements {
		got, err := ended(ctx, ours, s)
		if s.returning && r.refused(interactive, a.statements, err) {
			continue
		}
		want, _ := ended(ctx, theirs, s)
		r.same(s.String(), want, got)
		r.count(interactive, s.returning, want)
	}
	if a.rollback {
		require.NoError(r.t, theirs.Rollback())
		r.same("Rollback", "<nil>", fmt.Sprint(ours.Rollback()))
		return
	}
	err = ours.Commit()
	if r.refused(interactive, a.statements, err) {
		require.NoError(r.t, theirs.Rollback())
		return
	}
	r.same("Commit", toldOf("", theirs.Commit()), toldOf("", err))
}

// pipelined runs a transaction whose statements wait on the client. A failure undoes all, whenever it
// is told.
func (r *property) pipelined(a act) {
	r.t.Helper()
	ctx := rqlite.WithTxMode(r.t.Context(), rqlite.TxPipelined)
	tx, err := r.subject.BeginTx(ctx, nil)
	require.NoError(r.t, err)
	defer tx.Rollback()
	var results []sql.Result
	for i, s := range a.statements {
		result, err := tx.ExecContext(ctx, s.query, s.args...)
		if err != nil {
			require.NoError(r.t, tx.Rollback())
			if done := a.statements[:i+1]; !r.refused(pipelined, done, err) {
				r.sameFailure(done, err)
			}
			return
		}
		results = append(results, result)
	}
	if a.rollback {
		r.same("Rollback", "<nil>", fmt.Sprint(tx.Rollback()))
		return
	}
	err = tx.Commit()
	if r.refused(pipelined, a.statements, err) {
		return
	}
	if err != nil {
		r.sameFailure(a.statements, err)
		return
	}
	left := withoutSavepoints(a.statements)
	wants, failure := r.inOracle(left)
	r.same("Commit", toldOf("", failure), "done")
	r.count(pipelined, anyReturning(left), "done")
	if failure != nil || len(left) != len(a.statements) {
		return // which result is whose is clear without savepoints only
	}
	for i, s := range left {
		if s.counts && !s.returning {
			n, err := results[i].RowsAffected()
			r.same("the result of "+s.String(), wants[i], toldOf(fmt.Sprintf("%d rows affected", n), err))
		}
	}
}

// sameFailure compares the failure of statements that were undone with the first one on SQLite.
func (r *property) sameFailure(list []propertyStatement, err error) {
	r.t.Helper()
	tx, failure := r.oracle.BeginTx(r.t.Context(), nil)
	require.NoError(r.t, failure)
	defer tx.Rollback()
	for _, s := range list {
		if _, failure = ended(r.t.Context(), tx, s); failure != nil {
			break
		}
	}
	r.same("the failure", toldOf("", failure), toldOf("", err))
	r.count(pipelined, anyReturning(list), toldOf("", failure))
}
