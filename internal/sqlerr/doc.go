// Package sqlerr has what all parts of the driver say of failures.
package sqlerr
