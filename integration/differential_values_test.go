package integration_test

import (
	"math"
	"strings"
	"time"
)

// declaredTypes are those that SQLite, mattn/go-sqlite3 or rqlite treat in a
// way of their own, and some that look as if they were.
var declaredTypes = []string{
	"INTEGER", "INT", "BIGINT", "UNSIGNED BIG INT", "TINYINT(1)", "integer",
	"TEXT", "VARCHAR(20)", "NVARCHAR(100)", "CHARACTER(20)", "CLOB", "JSON", "UUID", "STRING",
	"BLOB", "blob", "VARBINARY(16)", "",
	"REAL", "DOUBLE", "DOUBLE PRECISION", "FLOAT", "FLOAT(10,2)", "FLOATING POINT",
	"NUMERIC", "DECIMAL(10,5)", "MONEY",
	"BOOLEAN", "BOOL", "boolean",
	"DATE", "DATETIME", "TIMESTAMP", "Timestamp", "TIME", "DATETIME(6)", "TIMESTAMP WITH TIME ZONE",
}

// allBytes is every byte value once.
var allBytes = func() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}()

// boundValues are bound as parameters, all of them to columns of all types.
var boundValues = []any{
	nil,
	int64(0), int64(1), int64(-1), int64(255), int64(256), 7, int32(-8), uint8(9),
	int64(1<<53 - 1), int64(1 << 53), int64(1<<53 + 1), int64(math.MaxInt64), int64(math.MinInt64),
	int64(1704164645), int64(1704164645123), int64(-1e12 - 1), int64(1e12 + 1),
	0.0, math.Copysign(0, -1), 3.0, -3.0, 1.5, 5e-324, 1.7e308, 1e15, 1e20, 1e21, 1e-7, 123456789.123, 0.1,
	float64(1 << 53), 9223372036854775807.0, float32(1.1), math.NaN(), 1704164645.5,
	true, false,
	"", "abc", "a\x00b", "\x00", "\U0001F600 ä 中", "\u2028\u2029", `<>&"'\`, "\t\r\n\x01\x7f",
	"x'41'", "X''", " x'00' ", "x'4'", "X'6869'", "'", "1", "1.5", "-0", "1e3", " 12 ", "0x10", "9223372036854775808", "nan", "true",
	"2024-01-02", "2024-01-02 03:04", "2024-01-02 03:04:05", "2024-01-02T03:04:05Z", "2024-01-02 03:04:05.123456789+05:30",
	"2024-01-02T03:04:05.5-08:00", "03:04:05", "2024-13-02", "not a date", "2024-01-02Z", " 2024-01-02",
	"0001-01-01", "9999-12-31 23:59:59.999999999",
	[]byte{},
	[]byte(nil), []byte("abc"),
	[]byte{0},
	[]byte{0xff, 0xfe},
	allBytes, []byte("2024-01-02"), []byte("12"),
	time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC),
	time.Date(2024, 1, 2, 3, 4, 5, 123456789, time.FixedZone("", 5*3600+1800)),
	time.Date(2024, 7, 2, 3, 4, 5, 120000000, time.FixedZone("PST", -8*3600)),
	time.Date(2024, 1, 2, 3, 4, 5, 1, time.FixedZone("", 14*3600)),
	time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
	time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
	time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC),
	time.Now(), // with a monotonic reading
	time.Time{},
}

// literals are written into the statement, where SQLite reads them.
var literals = []string{
	"NULL", "0", "-1", "0x10", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
	"3.0", "-0.0", "1e20", "1e-7", "123456789.123", ".5", "1e3",
	"TRUE", "FALSE", "'abc'", "'a''b'", "''", "'<>&\"\\'", "'a' || char(0) || 'b'", "char(8232, 128512)",
	"'x''41'''", "'12'", "'1.50'", "'2024-01-02'", "'2024-01-02T03:04:05Z'", "'2024-01-02 03:04:05.25-03:30'", "'24:00'",
	"1704164645", "1704164645123", "1704164645.0",
	"x''", "x'00'", "x'00ff'", "x'616263'", "zeroblob(3)", "CAST('abc' AS BLOB)",
	"1 + 1", "1 + 1.0", "2 = 2", "abs(-5)", "round(2.5)", "date('2024-02-30')", "strftime('%Y', '2024-01-02')", "hex('a')", "1 / 2", "7 % 3",
	"CAST('12' AS INTEGER)", "CAST(3 AS REAL)", "CAST(3 AS TEXT)", "CAST(12.9 AS INTEGER)",
}

// oddLiterals have no value that JSON could carry.
var oddLiterals = []string{"1e999", "-1e999", "CAST(x'ff61' AS TEXT)", "CAST(x'c328' AS TEXT)"}

// largeBlob has every byte value in 1 MiB.
var largeBlob = []byte(strings.Repeat(string(allBytes), 1<<20/len(allBytes)))
