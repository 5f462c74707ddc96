-- name: GetAuthor :one
SELECT * FROM authors
WHERE id = ? LIMIT 1;

-- name: ListAuthors :many
SELECT * FROM authors
ORDER BY name;

-- name: PageAuthors :many
SELECT id, name FROM authors
WHERE active = sqlc.arg(active)
ORDER BY id
LIMIT sqlc.arg(size) OFFSET sqlc.arg(start);

-- name: FindAuthors :many
SELECT * FROM authors
WHERE id IN (sqlc.slice('ids')) AND rating >= ?
ORDER BY id;

-- name: CreateAuthor :one
INSERT INTO authors (name, bio, born, rating, active, photo)
VALUES (?, ?, ?, ?, ?, ?)
RETURNING *;

-- name: AddAuthor :execlastid
INSERT INTO authors (name) VALUES (?);

-- name: UpsertAuthor :exec
INSERT INTO authors (name, bio) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET bio = excluded.bio, rating = authors.rating + 1
WHERE excluded.bio IS NOT NULL;

-- name: IgnoreAuthor :execrows
INSERT INTO authors (name) VALUES (?) ON CONFLICT DO NOTHING;

-- name: UpdateAuthor :execrows
UPDATE authors SET
  name = coalesce(sqlc.narg('name'), name),
  bio = coalesce(sqlc.narg('bio'), bio)
WHERE id = sqlc.arg('id');

-- name: RenameAuthor :one
UPDATE authors SET name = ? WHERE id = ? RETURNING name, rating;

-- name: DeleteAuthor :exec
DELETE FROM authors WHERE id = ?;

-- name: DeleteIdle :many
DELETE FROM authors
WHERE NOT EXISTS (SELECT 1 FROM books WHERE books.author_id = authors.id)
RETURNING id;

-- name: CreateBook :execresult
INSERT INTO books (author_id, isbn, title, year, available, tags)
VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- name: BooksByTag :many
SELECT title, json_array_length(tags) AS tags FROM books
WHERE tags LIKE '%"' || sqlc.arg(tag) || '"%' ORDER BY id;

-- name: BooksWithAuthors :many
SELECT sqlc.embed(books), sqlc.embed(authors)
FROM books JOIN authors ON authors.id = books.author_id
WHERE books.year BETWEEN ? AND ?
ORDER BY books.id;

-- name: CountBooks :one
SELECT count(*) FROM books WHERE author_id = ?;

-- name: YearStats :one
SELECT CAST(avg(year) AS REAL) AS mean, CAST(min(year) AS INTEGER) AS earliest, CAST(total(year) AS REAL) AS sum FROM books;

-- name: Summary :many
SELECT * FROM author_books ORDER BY name;

-- name: RankBooks :many
SELECT title, row_number() OVER (PARTITION BY author_id ORDER BY year DESC) AS place
FROM books WHERE year > ?
ORDER BY author_id, 2;

-- name: Recent :many
WITH recent AS (SELECT author_id, title FROM books WHERE year >= ?)
SELECT a.name, r.title FROM authors a JOIN recent r ON r.author_id = a.id
ORDER BY r.title;

-- name: TouchBooks :execrows
UPDATE books SET available = ?
WHERE author_id IN (SELECT id FROM authors WHERE active);

-- name: HasBook :one
SELECT EXISTS (SELECT 1 FROM books WHERE isbn = ?);
