CREATE TABLE authors (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  bio TEXT,
  born DATE,
  rating REAL NOT NULL DEFAULT 0,
  active BOOLEAN NOT NULL DEFAULT TRUE,
  photo BLOB
);

CREATE TABLE books (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  author_id INTEGER NOT NULL REFERENCES authors (id) ON DELETE CASCADE,
  isbn TEXT NOT NULL,
  title TEXT NOT NULL,
  year INTEGER NOT NULL CHECK (year > 0),
  available DATETIME,
  tags TEXT NOT NULL DEFAULT '[]'
);

CREATE UNIQUE INDEX books_isbn ON books (isbn);
CREATE INDEX books_title ON books (title, year) WHERE available IS NOT NULL;

CREATE VIEW author_books AS
SELECT a.name, count(b.id) AS books, max(b.year) AS latest
FROM authors a LEFT JOIN books b ON b.author_id = a.id GROUP BY a.id;
