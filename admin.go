package rqlite

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// Conn is the connection that (*sql.Conn).Raw hands to its function, for tasks outside of
// database/sql. It must not be used outside of that function.
//
// The methods that administer a cluster need permissions of their own, which
// https://rqlite.io/docs/guides/security/ lists. They are not repeated after a failure, except for
// those that only ask, which try all nodes.
type Conn interface {
	driver.Conn

	// The methods of Batch call ExecBatch, QueryBatch and QueueBatch.
	ExecBatch(ctx context.Context, b *Batch) ([]BatchResult, error)
	QueryBatch(ctx context.Context, b *Batch) ([]BatchResult, error)
	QueueBatch(ctx context.Context, b *Batch) (sequence int64, err error)

	// Backup writes a copy of the database to w as it arrives. After an error, the content of w is
	// of no use.
	Backup(ctx context.Context, w io.Writer, format BackupFormat) error
	// Load replaces the database of the whole cluster by the SQLite database file in r, or runs the
	// SQL text in r. A text ends with the first statement that fails. The statements before it stay
	// applied, unless the text has a BEGIN of its own, as a dump has. A file that is shorter or
	// longer than its header says is not sent to its end, so that it does no harm. rqlite does not
	// check the rest closely: a damaged file damages the database. A failure after all was sent is
	// ErrIndeterminate; the node may load the file later then.
	Load(ctx context.Context, r io.Reader) error
	// Boot makes the SQLite database file in r the database of a node that is alone in its cluster.
	// It bypasses the Raft log, which suits large files. The rules of Load about files hold here
	// too.
	Boot(ctx context.Context, r io.Reader) error
	// Nodes returns the nodes of the cluster, including read-only ones.
	Nodes(ctx context.Context) ([]Node, error)
	// Leader returns the node that leads. Without one the error is ErrNoLeader.
	Leader(ctx context.Context) (Node, error)
	// Ready returns nil when a node is ready for statements.
	Ready(ctx context.Context) error
	// Status returns the status that a node reports, as JSON
	// (https://rqlite.io/docs/guides/monitoring-rqlite/).
	Status(ctx context.Context) (json.RawMessage, error)
	// StepDown makes the leader hand over to the node with the given ID, or to any if id is empty,
	// and waits until it has.
	StepDown(ctx context.Context, id string) error
	// Snapshot makes the leader take a snapshot and truncate its Raft log. It is no error if there
	// is nothing to do.
	Snapshot(ctx context.Context) error
}

// Node is a node of the cluster, as the node that answered knows it.
type Node struct {
	ID        string // its name in the cluster
	APIAddr   string // the URL of its HTTP API
	Addr      string // its Raft address
	Version   string // its release of rqlite
	Voter     bool   // false for a read-only node
	Reachable bool   // the node that answered can reach it
	Leader    bool   // it leads
	Error     string // why it is not reachable
}

// BackupFormat is the form of a backup. The zero value is BackupBinary.
type BackupFormat uint8

// The forms of a backup.
const (
	BackupBinary BackupFormat = iota // an SQLite database file
	BackupSQL                        // SQL text that builds the database
)

// String returns the name of the format.
func (f BackupFormat) String() string {
	return enumName("BackupFormat", []string{"binary", "sql"}, f)
}

// Backup implements Conn.
func (c *conn) Backup(ctx context.Context, w io.Writer, format BackupFormat) error {
	params := ""
	if format == BackupSQL {
		params = "fmt=sql"
	}
	body, err := c.call(ctx, &cluster.Call{Method: http.MethodGet, Path: "/db/backup", Params: params, Leader: true})
	if err != nil {
		return err
	}
	defer body.Close()
	check := backupCheck{format: format}
	if _, err := io.Copy(io.MultiWriter(w, &check), body); err != nil {
		return fmt.Errorf("rqlite: the backup broke off: %w", err)
	}
	return check.complete()
}

// backupCheck checks a backup as it passes by. The server reports a failure on the way as text
// behind the data, in an answer that ends normally.
type backupCheck struct {
	format BackupFormat
	size   int64
	head   []byte // the header of a database file
	tail   []byte // the last bytes
}

const (
	sqliteHeader = 100 // bytes, https://www.sqlite.org/fileformat.html#the_database_header
	sqlEnding    = "COMMIT;"
)

// Write implements io.Writer.
func (b *backupCheck) Write(p []byte) (int, error) {
	b.note(p)
	return len(p), nil
}

// note records the next bytes.
func (b *backupCheck) note(p []byte) {
	b.size += int64(len(p))
	if missing := sqliteHeader - len(b.head); missing > 0 {
		b.head = append(b.head, p[:min(missing, len(p))]...)
	}
	b.tail = append(b.tail, p[max(0, len(p)-2*len(sqlEnding)):]...)
	b.tail = b.tail[max(0, len(b.tail)-2*len(sqlEnding)):]
}

// complete returns an error if the backup is visibly incomplete.
func (b *backupCheck) complete() error {
	if !b.isWhole() {
		return fmt.Errorf("rqlite: the backup is not whole: it has %d bytes, and ends before its end", b.size)
	}
	return nil
}

// isDatabase reports whether the backup begins as a database file does.
func (b *backupCheck) isDatabase() bool {
	return bytes.HasPrefix(b.head, []byte("SQLite format 3\x00"))
}

func (b *backupCheck) isWhole() bool {
	if b.format == BackupSQL {
		return bytes.HasSuffix(bytes.TrimSpace(b.tail), []byte(sqlEnding))
	}
	return b.isDatabase() && len(b.head) == sqliteHeader && isDatabaseSize(b.size, b.head)
}

// isDatabaseSize reports whether a database file with this header can have so many bytes. The
// header holds the size in pages, unless SQLite before 3.7.0 wrote the file last
// (https://www.sqlite.org/fileformat.html#in_header_database_size).
func isDatabaseSize(size int64, header []byte) bool {
	page := int64(binary.BigEndian.Uint16(header[16:]))
	if page == 1 {
		page = 65536
	}
	pages := int64(binary.BigEndian.Uint32(header[28:]))
	if pages == 0 || !bytes.Equal(header[24:28], header[92:96]) {
		return page > 0 && size%page == 0
	}
	return size == page*pages
}

// Load implements Conn.
func (c *conn) Load(ctx context.Context, r io.Reader) error {
	defer c.connector.engine.SchemaChanged()
	file := &wholeFile{r: r}
	body, err := c.call(ctx, &cluster.Call{
		Method:      http.MethodPost,
		Path:        "/db/load",
		ContentType: "application/octet-stream",
		Body:        file,
		Leader:      true,
		Write:       true,
	})
	if err != nil {
		err = file.failure(err)
	} else {
		defer body.Close()
		err = loadFailure(body)
	}
	c.renew(ctx, err)
	return err
}

// renew renews the version after a load that ended with an error or nil, unless that says that nothing was
// loaded. A load whose answer was lost may have replaced the database, and so may the statements of a text
// before the one that failed.
func (c *conn) renew(ctx context.Context, err error) {
	const patience = 5 * time.Second // also if the context has ended
	var failed *Error
	if err != nil && !errors.Is(err, ErrIndeterminate) && !errors.As(err, &failed) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	c.connector.versions.Renew(ctx)
}

// wholeFile passes on the content of r. It ends with an error instead of io.EOF if that is only the
// beginning of a database file: the server would replace the database by it.
type wholeFile struct {
	r       io.Reader
	seen    backupCheck
	refused atomic.Pointer[error] // set while the transport reads
}

// Read implements io.Reader.
func (f *wholeFile) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	f.seen.note(p[:n])
	if errors.Is(err, io.EOF) && f.seen.isDatabase() && !f.seen.isWhole() {
		err = fmt.Errorf("rqlite: nothing was loaded: the database file is not whole: it has %d bytes, which is not what its header says", f.seen.size)
		f.refused.Store(&err)
	}
	return n, err
}

// failure returns the error of a call with this body: that of the body, if it has one.
func (f *wholeFile) failure(err error) error {
	if refused := f.refused.Load(); refused != nil {
		return *refused
	}
	return err
}

// loadFailure reads the answer to a load, and returns its failure.
func loadFailure(body io.Reader) error {
	var answer struct {
		Results *[]struct {
			Error string `json:"error"`
		} `json:"results"`
		Error string `json:"error"`
	}
	const most = 16 << 20
	err := json.NewDecoder(io.LimitReader(body, most)).Decode(&answer)
	switch {
	case err != nil:
		return fmt.Errorf("rqlite: %w: the answer to the load cannot be read: %w", sqlerr.ErrIndeterminate, err)
	case answer.Error != "":
		outcome := cluster.Classify(http.StatusOK, answer.Error)
		return public(sqlerr.From(&cluster.Error{Outcome: outcome, Write: true, Status: http.StatusOK, Message: answer.Error}))
	case answer.Results == nil:
		return fmt.Errorf("rqlite: %w: the answer to the load has no results", sqlerr.ErrIndeterminate)
	}
	for _, result := range *answer.Results {
		if result.Error != "" {
			return public(sqlerr.New(result.Error, -1, 0))
		}
	}
	return nil
}

// Boot implements Conn.
func (c *conn) Boot(ctx context.Context, r io.Reader) error {
	defer c.connector.engine.SchemaChanged()
	file := &wholeFile{r: r}
	err := c.act(ctx, &cluster.Call{Path: "/boot", ContentType: "application/octet-stream", Body: file})
	if err != nil {
		err = file.failure(err)
	}
	c.renew(ctx, err)
	return err
}

// Nodes implements Conn.
func (c *conn) Nodes(ctx context.Context) ([]Node, error) {
	if c.closed {
		return nil, errClosed
	}
	members, err := c.connector.client.Members(ctx)
	if err != nil {
		return nil, public(sqlerr.From(err))
	}
	nodes := make([]Node, len(members))
	for i, m := range members {
		nodes[i] = Node(m)
	}
	return nodes, nil
}

// Leader implements Conn.
func (c *conn) Leader(ctx context.Context) (Node, error) {
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return Node{}, err
	}
	for _, n := range nodes {
		if n.Leader {
			return n, nil
		}
	}
	return Node{}, fmt.Errorf("rqlite: %w", sqlerr.ErrNoLeader)
}

// Ready implements Conn.
func (c *conn) Ready(ctx context.Context) error {
	body, err := c.call(ctx, &cluster.Call{Method: http.MethodGet, Path: "/readyz"})
	if err != nil {
		return err
	}
	return body.Close()
}

// Status implements Conn.
func (c *conn) Status(ctx context.Context) (json.RawMessage, error) {
	body, err := c.call(ctx, &cluster.Call{Method: http.MethodGet, Path: "/status"})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	const most = 16 << 20
	var status json.RawMessage
	if err := json.NewDecoder(io.LimitReader(body, most)).Decode(&status); err != nil {
		return nil, fmt.Errorf("rqlite: the status cannot be read: %w", err)
	}
	return status, nil
}

// StepDown implements Conn.
func (c *conn) StepDown(ctx context.Context, id string) error {
	call := &cluster.Call{Path: "/leader", Params: "wait", Leader: true}
	if id != "" {
		target, err := json.Marshal(map[string]string{"id": id})
		if err != nil {
			return fmt.Errorf("rqlite: %w", err)
		}
		call.ContentType, call.Body = "application/json", strings.NewReader(string(target))
	}
	return c.act(ctx, call)
}

// Snapshot implements Conn.
func (c *conn) Snapshot(ctx context.Context) error {
	return c.act(ctx, &cluster.Call{Path: "/snapshot", Leader: true})
}

// act posts a call that changes something and whose answer has no content.
func (c *conn) act(ctx context.Context, call *cluster.Call) error {
	call.Method, call.Write = http.MethodPost, true
	body, err := c.call(ctx, call)
	if err != nil {
		return err
	}
	return body.Close()
}

func (c *conn) call(ctx context.Context, call *cluster.Call) (io.ReadCloser, error) {
	if c.closed {
		return nil, errClosed
	}
	body, err := c.connector.client.Do(ctx, call)
	if err != nil {
		return nil, public(sqlerr.From(err))
	}
	return body, nil
}
