package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// answer is what a Remote reads for an order.
type answer struct {
	Turn  Turn   `json:"turn"`
	Error string `json:"error,omitempty"`
}

// Serve takes the turns that a [Remote] orders until its input ends. Orders and
// answers are JSON values, one a line.
func Serve(ctx context.Context, in io.Reader, out io.Writer, take func(context.Context, Order) (Turn, error)) error {
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var order Order
		if err := orders.Decode(&order); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading an order: %w", err)
		}
		var a answer
		turn, err := take(ctx, order)
		if a.Turn = turn; err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

// Remote has turns taken by who calls [Serve].
type Remote struct {
	in      io.WriteCloser
	orders  *json.Encoder
	answers *json.Decoder
	wait    func() error
}

// NewRemote returns a remote that writes its orders to in, and reads the answers from out.
func NewRemote(in io.WriteCloser, out io.Reader) *Remote {
	return &Remote{
		in: in, orders: json.NewEncoder(in), answers: json.NewDecoder(out),
		wait: func() error { return nil },
	}
}

// Start starts a program that serves on its standard input and output. It ends with
// ctx, or by Close.
func Start(ctx context.Context, program string, args ...string) (*Remote, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := NewRemote(in, out)
	r.wait = cmd.Wait
	return r, nil
}

// Take has a turn taken.
func (r *Remote) Take(order Order) (Turn, error) {
	if err := r.orders.Encode(order); err != nil {
		return Turn{}, fmt.Errorf("ordering a turn: %w", err)
	}
	var a answer
	if err := r.answers.Decode(&a); err != nil {
		return Turn{}, fmt.Errorf("waiting for a turn: %w", err)
	}
	if a.Error != "" {
		return a.Turn, errors.New(a.Error)
	}
	return a.Turn, nil
}

// Close ends the program, if one was started, and waits for it.
func (r *Remote) Close() error {
	return errors.Join(r.in.Close(), r.wait())
}
