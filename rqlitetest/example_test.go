package rqlitetest_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"

	"github.com/go-rqlite/rqlite/rqlitetest"
)

// post sends a request. It does not follow redirects.
func post(url, body string) {
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		fmt.Println("no answer")
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", string(text))))
}

// A leader stops, and another node takes over.
func ExampleStartCluster() {
	c, err := rqlitetest.StartCluster(rqlitetest.ClusterConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	post(c.URL(1)+"/db/execute", `["CREATE TABLE t(a)"]`)
	post(c.URL(1)+"/db/execute?redirect", `["INSERT INTO t VALUES(1)"]`)
	if err := c.Stop(c.Leader()); err != nil {
		log.Fatal(err)
	}
	post(c.URL(1)+"/db/execute", `["INSERT INTO t VALUES(1)"]`)
	if err := c.SetLeader(2); err != nil {
		log.Fatal(err)
	}
	post(c.URL(1)+"/db/execute", `["INSERT INTO t VALUES(1)"]`)
	// Output:
	// 200 {"results":[{}]}
	// 301
	// 200 {"results":[],"error":"dial tcp 127.0.0.1:4002: connect: connection refused"}
	// 200 {"results":[{"last_insert_id":1,"rows_affected":1}]}
}

// A write is applied, but its answer is lost.
func ExampleCluster_Fail() {
	c, err := rqlitetest.StartCluster(rqlitetest.ClusterConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	post(c.URL(0)+"/db/execute", `["CREATE TABLE t(a)"]`)
	c.Fail(0, rqlitetest.Fault{Path: "/db/execute", Cut: rqlitetest.CutAnswer})
	post(c.URL(0)+"/db/execute", `["INSERT INTO t VALUES(1)"]`)
	post(c.URL(0)+"/db/query", `["SELECT count(*) AS n FROM t"]`)
	// Output:
	// 200 {"results":[{}]}
	// no answer
	// 200 {"results":[{"columns":["n"],"types":["integer"],"values":[[1]]}]}
}
