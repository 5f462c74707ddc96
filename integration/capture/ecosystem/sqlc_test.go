package ecosystem

import (
	"database/sql"
	"os"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/integration/capture/internal/store"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSQLC runs the code that sqlc has generated: a library of books.
func TestSQLC(t *testing.T) {
	t.Parallel()
	ctx, db := t.Context(), open(t)
	schema, err := os.ReadFile("../internal/store/schema.sql")
	require.NoError(t, err)
	_, err = db.ExecContext(ctx, string(schema))
	require.NoError(t, err)
	q := store.New(db)

	bio, born := "wrote x'41'", time.Date(1903, 6, 25, 0, 0, 0, 0, time.UTC)
	orwell, err := q.CreateAuthor(ctx, store.CreateAuthorParams{Name: "Orwell", Bio: &bio, Born: &born, Rating: 4, Active: true, Photo: []byte{0xff, 0}})
	require.NoError(t, err)
	assert.Equal(t, store.Author{ID: 1, Name: "Orwell", Bio: &bio, Born: &born, Rating: 4, Active: true, Photo: []byte{0xff, 0}}, orwell)
	woolf, err := q.AddAuthor(ctx, "Woolf")
	require.NoError(t, err)
	require.NoError(t, q.UpsertAuthor(ctx, store.UpsertAuthorParams{Name: "Woolf", Bio: &bio}))
	ignored, err := q.IgnoreAuthor(ctx, "Orwell")
	require.NoError(t, err)
	assert.Zero(t, ignored)
	result, err := q.CreateBook(ctx, store.CreateBookParams{AuthorID: orwell.ID, Isbn: "1", Title: "1984", Year: 1949, Tags: `["novel"]`})
	require.NoError(t, err)
	id, err := result.LastInsertId()
	require.NoError(t, err)
	assert.EqualValues(t, 1, id)

	found, err := q.FindAuthors(ctx, store.FindAuthorsParams{Ids: []int64{orwell.ID, woolf, 99}, Rating: 0.5})
	require.NoError(t, err)
	require.Len(t, found, 2, "the rating of Woolf was raised by the upsert")
	_, err = q.GetAuthor(ctx, 99)
	require.ErrorIs(t, err, sql.ErrNoRows)

	// A transaction of prepared queries that goes on after a failure.
	prepared, err := store.Prepare(ctx, db)
	require.NoError(t, err)
	defer func() { require.NoError(t, prepared.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	inside := prepared.WithTx(tx)
	_, err = inside.CreateBook(ctx, store.CreateBookParams{AuthorID: 99, Isbn: "2", Title: "None", Year: 1})
	require.ErrorIs(t, err, rqlite.ConstraintForeignKey)
	_, err = inside.CreateBook(ctx, store.CreateBookParams{AuthorID: woolf, Isbn: "2", Title: "Orlando", Year: -1})
	require.ErrorIs(t, err, rqlite.ConstraintCheck)
	_, err = inside.CreateBook(ctx, store.CreateBookParams{AuthorID: woolf, Isbn: "2", Title: "Orlando", Year: 1928})
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	books, err := q.BooksWithAuthors(ctx, store.BooksWithAuthorsParams{FromYear: 1900, ToYear: 1930})
	require.NoError(t, err)
	require.Len(t, books, 1)

	require.NoError(t, q.DeleteAuthor(ctx, woolf))
	count, err := q.CountBooks(ctx, woolf)
	require.NoError(t, err)
	assert.Zero(t, count, "ON DELETE CASCADE")
}
