package lab_test

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"

	"github.com/go-rqlite/rqlite/benchmarks/internal/lab"
)

// TestCluster starts three nodes, of rqlited where there is one, and asks the leader
// for them. Once stopped, they answer no more.
func TestCluster(t *testing.T) {
	if os.Getenv("RQLITE_URL") != "" {
		t.Skip("RQLITE_URL is a server that runs already")
	}
	s, err := lab.FindServer(3)
	if err != nil {
		t.Fatal(err)
	}
	if s.Embedded {
		t.Log("there is no rqlited: this is the embedded server")
	}
	nodes := members(t, s.Leader)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	leaders := 0
	for _, n := range nodes {
		if n.Leader {
			leaders++
			if n.URL != s.Leader {
				t.Errorf("%s leads, not %s", n.URL, s.Leader)
			}
		}
		if resp, err := http.Get(n.URL + "/readyz"); err == nil {
			resp.Body.Close()
			t.Errorf("%s still answers", n.URL)
		}
	}
	if len(nodes) != 3 || leaders != 1 {
		t.Errorf("%d nodes, and %d leaders among them", len(nodes), leaders)
	}
}

// member is what a node says of another one.
type member struct {
	URL    string `json:"api_addr"`
	Leader bool   `json:"leader"`
}

func members(t *testing.T, url string) map[string]member {
	t.Helper()
	resp, err := http.Get(url + "/nodes")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var nodes map[string]member
	if err := json.NewDecoder(resp.Body).Decode(&nodes); err != nil {
		t.Fatal(err)
	}
	return nodes
}
