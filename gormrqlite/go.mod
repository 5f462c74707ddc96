module github.com/go-rqlite/rqlite/gormrqlite

go 1.24.0

require (
	github.com/go-rqlite/rqlite v0.1.0
	github.com/stretchr/testify v1.12.1
	gorm.io/gorm v1.31.2
)

require (
	github.com/jinzhu/inflection v1.0.0 // indirect
	github.com/jinzhu/now v1.1.5 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/text v0.20.0 // indirect
)

// For development. A program that uses this module does not see it.
replace github.com/go-rqlite/rqlite => ../
