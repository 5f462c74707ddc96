// Package autocommit carries out statements outside of transactions: which request they become, what
// goes around them, and what is done on a server that would not do what SQLite does.
package autocommit
