package rqlite

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConsistencyText(t *testing.T) {
	t.Parallel()
	for level, name := range map[Consistency]string{
		Weak: "weak", Linearizable: "linearizable", Strong: "strong", None: "none", Auto: "auto",
	} {
		assert.Equal(t, name, level.String())
		parsed, err := ParseConsistency(name)
		require.NoError(t, err)
		assert.Equal(t, level, parsed)

		var decoded struct{ Level Consistency }
		encoded, err := json.Marshal(struct{ Level Consistency }{level})
		require.NoError(t, err)
		assert.JSONEq(t, `{"Level":"`+name+`"}`, string(encoded))
		require.NoError(t, json.Unmarshal(encoded, &decoded))
		assert.Equal(t, level, decoded.Level)
	}
	var zero Consistency
	assert.Equal(t, Weak, zero, "rqlite's default is the zero value")
}

func TestConsistencyInvalid(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "Weak", "WEAK", " weak", "weak ", "eventual", "0", "Consistency(5)"} {
		_, err := ParseConsistency(name)
		require.Error(t, err, "%q", name)
		assert.ErrorContains(t, err, "must be one of weak, linearizable, strong, none, auto")

		level := Strong
		require.Error(t, level.UnmarshalText([]byte(name)))
		assert.Equal(t, Strong, level, "a failed UnmarshalText changes nothing")
	}
	undefined := Auto + 1
	assert.Equal(t, "Consistency(5)", undefined.String())
	_, err := undefined.MarshalText()
	assert.EqualError(t, err, "rqlite: Consistency(5) is no consistency level; use one of weak, linearizable, strong, none, auto")
}

func TestDiscoveryAndTxModeText(t *testing.T) {
	t.Parallel()
	for d, name := range map[Discovery]string{DiscoveryRedirect: "redirect", DiscoveryOff: "off", DiscoveryNodes: "nodes"} {
		assert.Equal(t, name, d.String())
		parsed, err := ParseDiscovery(name)
		require.NoError(t, err)
		assert.Equal(t, d, parsed)
	}
	for m, name := range map[TxMode]string{TxAuto: "auto", TxInteractive: "interactive", TxPipelined: "pipelined"} {
		assert.Equal(t, name, m.String())
		parsed, err := ParseTxMode(name)
		require.NoError(t, err)
		assert.Equal(t, m, parsed)
	}
	for m, name := range map[PrepareMode]string{PrepareLate: "late", PrepareCheck: "check"} {
		assert.Equal(t, name, m.String())
		parsed, err := ParsePrepareMode(name)
		require.NoError(t, err)
		assert.Equal(t, m, parsed)
	}
	_, err := ParseDiscovery("Off")
	assert.EqualError(t, err, `rqlite: discovery "Off": must be one of redirect, off, nodes`)
	_, err = ParseTxMode("")
	assert.EqualError(t, err, `rqlite: transaction mode "": must be one of auto, interactive, pipelined`)
	assert.Equal(t, "Discovery(3)", Discovery(3).String())
	_, err = ParsePrepareMode("Check")
	assert.EqualError(t, err, `rqlite: prepare mode "Check": must be one of late, check`)
	assert.Equal(t, "TxMode(3)", TxMode(3).String())
	assert.Equal(t, "PrepareMode(2)", PrepareMode(2).String())
}

// with builds a context by applying functions such as level(None) in order.
func with(changes ...func(context.Context) context.Context) context.Context {
	ctx := context.Background()
	for _, change := range changes {
		ctx = change(ctx)
	}
	return ctx
}

func level(l Consistency) func(context.Context) context.Context {
	return func(ctx context.Context) context.Context { return WithConsistency(ctx, l) }
}

func fresh(d time.Duration, strict bool) func(context.Context) context.Context {
	return func(ctx context.Context) context.Context { return WithFreshness(ctx, d, strict) }
}

func patience(d time.Duration) func(context.Context) context.Context {
	return func(ctx context.Context) context.Context { return WithLinearizableTimeout(ctx, d) }
}

func TestReadOptions(t *testing.T) {
	t.Parallel()
	bounded := &Config{Consistency: None, Freshness: time.Second, FreshnessStrict: true, LinearizableTimeout: 2 * time.Second}
	for name, tt := range map[string]struct {
		ctx  context.Context
		cfg  *Config
		want readOptions
	}{
		"defaults": {with(), &Config{}, readOptions{}},
		"from the configuration": {
			with(), bounded,
			readOptions{Level: None, Freshness: time.Second, FreshnessStrict: true},
		},
		"a level per call drops the configured freshness": {with(level(Weak)), bounded, readOptions{Level: Weak}},
		"even if it is the configured level":              {with(level(None)), bounded, readOptions{Level: None}},
		"level and freshness per call": {
			with(fresh(5*time.Second, false), level(Auto)), &Config{Consistency: Strong},
			readOptions{Level: Auto, Freshness: 5 * time.Second},
		},
		"freshness per call at the configured level": {
			with(fresh(5*time.Second, false)), bounded,
			readOptions{Level: None, Freshness: 5 * time.Second},
		},
		"strict per call": {
			with(fresh(time.Second, true)), &Config{Consistency: Auto},
			readOptions{Level: Auto, Freshness: time.Second, FreshnessStrict: true},
		},
		"zero lifts the configured bound": {with(fresh(0, false)), bounded, readOptions{Level: None}},
		"zero is fine at any level":       {with(fresh(0, false)), &Config{}, readOptions{}},
		"the last level wins":             {with(level(None), level(Strong)), &Config{}, readOptions{Level: Strong}},
		"configured linearizable timeout": {
			with(level(Linearizable)), bounded,
			readOptions{Level: Linearizable, LinearizableTimeout: 2 * time.Second},
		},
		"linearizable timeout per call": {
			with(patience(time.Second)), &Config{Consistency: Linearizable, LinearizableTimeout: time.Hour},
			readOptions{Level: Linearizable, LinearizableTimeout: time.Second},
		},
		"zero is the timeout of the server": {
			with(patience(0)), &Config{Consistency: Linearizable, LinearizableTimeout: time.Hour},
			readOptions{Level: Linearizable},
		},
		"other levels have nothing to wait for": {with(patience(time.Second), level(Strong)), &Config{}, readOptions{Level: Strong}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readOptionsFor(tt.ctx, tt.cfg)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestReadOptionsRefused(t *testing.T) {
	t.Parallel()
	const prefix = "rqlite: context of the call: "
	for name, tt := range map[string]struct {
		ctx  context.Context
		cfg  *Config
		want string
	}{
		"freshness at the default level": {
			with(fresh(time.Second, false)), &Config{},
			"freshness has no effect at level weak; use level none or auto, or leave freshness out",
		},
		"freshness at a level per call": {
			with(fresh(time.Second, false), level(Strong)), &Config{Consistency: None},
			"freshness has no effect at level strong; use level none or auto, or leave freshness out",
		},
		"negative freshness":            {with(level(None), fresh(-1, false)), &Config{}, "freshness must not be negative"},
		"strict without a bound":        {with(level(None), fresh(0, true)), &Config{}, "freshness_strict needs a freshness"},
		"negative linearizable timeout": {with(patience(-1)), &Config{}, "linearizable_timeout must not be negative"},
		"no level": {
			with(level(9)), &Config{},
			"Consistency(9) is no consistency level; use one of weak, linearizable, strong, none, auto",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := readOptionsFor(tt.ctx, tt.cfg)
			assert.EqualError(t, err, prefix+tt.want)
		})
	}
}

// A context that others hold keeps its options when one is derived from it.
func TestContextOptionsAreNotShared(t *testing.T) {
	t.Parallel()
	parent := with(level(None), fresh(time.Second, false))
	child := WithFreshness(WithConsistency(parent, Auto), time.Minute, true)
	cfg := &Config{}

	got, err := readOptionsFor(parent, cfg)
	require.NoError(t, err)
	assert.Equal(t, readOptions{Level: None, Freshness: time.Second}, got)
	got, err = readOptionsFor(child, cfg)
	require.NoError(t, err)
	assert.Equal(t, readOptions{Level: Auto, Freshness: time.Minute, FreshnessStrict: true}, got)
}

func BenchmarkReadOptionsFor(b *testing.B) {
	ctx, cfg := with(level(None), fresh(time.Second, true)), &Config{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readOptionsFor(ctx, cfg); err != nil {
			b.Fatal(err)
		}
	}
}

// Every read needs its parameters. Those of a level alone cost it no allocation.
func TestPlainParamsAllocateNothing(t *testing.T) {
	for level := range consistencyNames {
		options := readOptions{Level: Consistency(level)}
		assert.Zero(t, testing.AllocsPerRun(10, func() { options.params() }), options.Level)
	}
}
