package integration_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"

	"github.com/XSAM/otelsql"
	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// openTraced opens a database by way of otelsql, whose spans go to the recorder.
func openTraced(t *testing.T, dsn string) (*sql.DB, *trace.TracerProvider, *tracetest.SpanRecorder) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(recorder))
	t.Cleanup(func() { require.NoError(t, provider.Shutdown(context.WithoutCancel(t.Context()))) })
	db, err := otelsql.Open("rqlite", dsn, otelsql.WithTracerProvider(provider),
		otelsql.WithAttributes(attribute.String("db.system.name", "rqlite")))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db, provider, recorder
}

// TestOpenTelemetry wraps the driver in otelsql: everything works as without,
// and leaves spans.
func TestOpenTelemetry(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, provider, recorder := openTraced(t, b.shared.dsn)
		table := newTable()
		ctx, root := provider.Tracer("test").Start(t.Context(), "root")
		_, err := db.ExecContext(ctx, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, v INT UNIQUE)")
		require.NoError(t, err)
		result, err := db.ExecContext(ctx, "INSERT INTO "+table+" (v) VALUES (?)", 7)
		require.NoError(t, err)
		id, err := result.LastInsertId()
		require.NoError(t, err)
		assert.EqualValues(t, 1, id)
		_, err = db.ExecContext(ctx, "INSERT INTO "+table+" (v) VALUES (?)", 7)
		require.ErrorIs(t, err, rqlite.ConstraintUnique, "errors come through")
		var v int
		require.NoError(t, db.QueryRowContext(rqlite.WithConsistency(ctx, rqlite.Strong), "SELECT v FROM "+table+" WHERE id = ?", id).Scan(&v))
		assert.Equal(t, 7, v)
		require.NoError(t, db.PingContext(ctx))
		root.End()

		failed := 0
		names := map[string]int{}
		for _, span := range recorder.Ended() {
			names[span.Name()]++
			if span.Name() != "root" {
				assert.Equal(t, root.SpanContext().TraceID(), span.SpanContext().TraceID(), "%s is not part of the trace", span.Name())
			}
			if span.Status().Code == codes.Error {
				failed++
			}
		}
		assert.Equal(t, 3, names["sql.conn.exec"], names)
		assert.Equal(t, 1, names["sql.conn.query"], names)
		assert.Equal(t, 1, names["sql.rows"], names)
		assert.Equal(t, 1, failed, "spans that failed")
	})
}

// TestOpenTelemetryContext demands that what a context says reaches the driver
// through otelsql.
func TestOpenTelemetryContext(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, _, _ := openTraced(t, b.shared.dsn)
		table := newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (v INT)")
		result, err := db.ExecContext(rqlite.WithQueue(t.Context(), true), "INSERT INTO "+table+" VALUES (1)")
		require.NoError(t, err)
		_, err = result.RowsAffected()
		require.Error(t, err, "it was not queued")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = db.ExecContext(ctx, "INSERT INTO "+table+" VALUES (2)")
		require.ErrorIs(t, err, context.Canceled)
	})
}

// TestOpenTelemetryRaw gets at the driver's own connection behind otelsql, for
// what database/sql has no words for.
func TestOpenTelemetryRaw(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, _, _ := openTraced(t, b.shared.dsn)
		table := newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (v INT)")
		var batch rqlite.Batch
		batch.Add("INSERT INTO "+table+" VALUES (?)", 1)
		batch.Add("INSERT INTO "+table+" VALUES (?)", 2)
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.Raw(func(c any) error {
			wrapped, ok := c.(interface{ Raw() driver.Conn })
			if !ok {
				return errors.New("otelsql does not give its connection away")
			}
			results, err := wrapped.Raw().(rqlite.Conn).ExecBatch(t.Context(), &batch)
			assert.Len(t, results, 2)
			return err
		}))
		_, err = batch.Exec(t.Context(), db) // it finds its way through the wrapper, too
		require.NoError(t, err)
		var count int
		scan(t, db, "SELECT count(*) FROM "+table, nil, &count)
		assert.Equal(t, 4, count)
	})
}
