// Package ecosystem holds the tests of libraries and tools on top of the driver: ent, bun,
// squirrel, sqlc, goose, golang-migrate, scs and sqlmw, each with models and a
// scenario of its own, through their public interfaces only. It exports nothing.
//
// They run on the embedded server, or on that of RQLITE_ECOSYSTEM_DSN, which has to be
// empty and to enforce foreign keys. TestEcosystem of the integration module runs
// them so on each live backend.
//
// The generated code of ent and sqlc is that of the program in the parent directory.
package ecosystem
