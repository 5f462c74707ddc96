module github.com/go-rqlite/rqlite/benchmarks

go 1.26.0

replace (
	github.com/go-rqlite/rqlite => ../
	github.com/go-rqlite/rqlite/rqlitetest => ../rqlitetest
)

require (
	github.com/go-rqlite/rqlite v0.0.0
	github.com/go-rqlite/rqlite/rqlitetest v0.0.0
	github.com/mattn/go-sqlite3 v1.14.53
	github.com/rqlite/gorqlite v0.0.0-20260504155303-50d445fd0ab9
)

require (
	github.com/dustin/go-humanize v1.1.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/ncruces/go-strftime v1.1.0 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	golang.org/x/sys v0.49.0 // indirect
	modernc.org/libc v1.79.0 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
	modernc.org/sqlite v1.61.1 // indirect
)
