package rqlitetest

import "net/http"

// accounts are the users of a server by name. nil allows everything.
type accounts map[string]account

type account struct {
	password string
	perms    map[string]bool
}

// anybody is the account whose permissions need no credentials.
const anybody = "*"

func newAccounts(users []User) accounts {
	if len(users) == 0 {
		return nil
	}
	a := make(accounts, len(users))
	for _, u := range users {
		perms := make(map[string]bool, len(u.Perms))
		for _, p := range u.Perms {
			perms[p] = true
		}
		a[u.Name] = account{password: u.Password, perms: perms}
	}
	return a
}

func (a accounts) password(name string) string { return a[name].password }

// allow reports whether the request has all of the permissions. Permissions of anybody hold even if
// the password is wrong.
func (a accounts) allow(r *http.Request, perms ...string) bool {
	if a == nil {
		return true
	}
	name, password, _ := r.BasicAuth()
	for _, perm := range perms {
		if a[anybody].may(perm) {
			continue
		}
		u, known := a[name]
		if name == "" || !known || u.password != password || !u.may(perm) {
			return false
		}
	}
	return true
}

// anybodyMay reports whether a request without credentials has the permission.
func (a accounts) anybodyMay(perm string) bool { return a == nil || a[anybody].may(perm) }

func (u account) may(perm string) bool { return u.perms[perm] || u.perms["all"] }
