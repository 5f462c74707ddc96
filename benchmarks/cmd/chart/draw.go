package main

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/go-rqlite/rqlite/benchmarks/internal/figures"
	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

// titles are those of the scenarios that can be drawn.
var titles = map[string]string{
	"ConcurrentInsert": "Concurrent INSERTs of one row",
	"ConcurrentSelect": "Concurrent SELECTs of one row",
}

const width, height = 18 * vg.Centimeter, 11 * vg.Centimeter

// lines are the clients, in the order of the legend, which is about that of the lines
// from top to bottom. The colours can be told apart by the colour-blind (Okabe and Ito).
var lines = []struct {
	client string
	label  string
	color  color.Color
	glyph  draw.GlyphDrawer
	width  vg.Length
	dashes []vg.Length
}{
	{"bulk", "requests of many rows, by hand", rgb(0x99, 0x99, 0x99), draw.PlusGlyph{}, 1.2, []vg.Length{4, 3}},
	{"driver", "this driver", rgb(0x00, 0x72, 0xb2), draw.CircleGlyph{}, 2.5, nil},
	{"gorqlite", "gorqlite, with a large idle pool", rgb(0xe6, 0x9f, 0x00), draw.PyramidGlyph{}, 1.5, nil},
	{"gorqlite-default", "gorqlite, as it is", rgb(0xd5, 0x5e, 0x00), draw.BoxGlyph{}, 1.5, nil},
	{"bare", "net/http, one request for each row", rgb(0x33, 0x33, 0x33), draw.CrossGlyph{}, 1.5, nil},
	{"driver-separate", "this driver, coalesce=false", rgb(0x56, 0xb4, 0xe9), draw.RingGlyph{}, 1.5, nil},
}

func rgb(r, g, b uint8) color.Color { return color.NRGBA{R: r, G: g, B: b, A: 0xff} }

// drawChart returns the chart of a scenario as an SVG document.
func drawChart(r *figures.Report, scenario string) ([]byte, error) {
	title, ok := titles[scenario]
	if !ok {
		return nil, errors.New("no chart is known of " + scenario)
	}
	p := plot.New()
	sansSerif(p)
	p.BackgroundColor = color.White // it is shown on dark pages, too
	p.Title.Text = title + ": " + circumstances(r.Setting)
	p.Title.TextStyle.Font.Size = 13
	p.Title.Padding = 10
	styleAxis(&p.X, "goroutines")
	styleAxis(&p.Y, "rows per second")
	p.X.Tick.Marker, p.Y.Tick.Marker = powersOfTwo{}, decades{}
	p.Add(gridLines(), legendGround{})
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.XOffs, p.Legend.YOffs = 10, -8
	p.Legend.Padding = 2.5
	p.Legend.ThumbnailWidth = 26
	p.Legend.TextStyle.Font.Size = 9.5
	drawn := 0
	for _, l := range lines {
		points := throughputs(r, scenario, l.client)
		if points == nil {
			continue
		}
		line, glyphs, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.LineStyle = draw.LineStyle{Color: l.color, Width: l.width, Dashes: l.dashes}
		glyphs.GlyphStyle = draw.GlyphStyle{Color: l.color, Radius: 3.5, Shape: l.glyph}
		p.Add(line, glyphs)
		p.Legend.Add(l.label, line, glyphs)
		drawn++
	}
	if drawn == 0 {
		return nil, errors.New("these are no figures of " + scenario)
	}
	widen(p)
	return render(p)
}

// circumstances says what the figures were measured on.
func circumstances(s figures.Setting) string {
	nodes := "a server"
	switch {
	case s.Nodes == 1:
		nodes = "one node"
	case s.Nodes > 1:
		nodes = fmt.Sprintf("%d nodes", s.Nodes)
	}
	return fmt.Sprintf("rqlite %s, %s, %d CPUs for all", s.Rqlite, nodes, s.CPUs)
}

// throughputs returns the medians of a client in a scenario by goroutines, nil if it took no part.
func throughputs(r *figures.Report, scenario, client string) plotter.XYs {
	var points plotter.XYs
	for _, s := range r.Series {
		if s.Scenario == scenario && s.Client == client {
			points = append(points, plotter.XY{X: float64(s.Goroutines), Y: s.Median(load.Turn.Throughput)})
		}
	}
	return points
}

func styleAxis(a *plot.Axis, label string) {
	a.Label.Text = label
	a.Label.TextStyle.Font.Size = 11
	a.Label.Padding = 6
	a.Tick.Label.Font.Size = 10
	a.Scale = plot.LogScale{}
	a.Padding = 0
	a.Color, a.Tick.Color = gray(0x66), gray(0x66)
}

func gray(v uint8) color.Color { return color.Gray{Y: v} }

func gridLines() *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical = draw.LineStyle{Color: gray(0xe6), Width: 0.5}
	g.Horizontal = g.Vertical
	return g
}

// legendGround keeps the grid from crossing the legend, which stands at the top left.
type legendGround struct{}

// Plot implements plot.Plotter.
func (legendGround) Plot(c draw.Canvas, p *plot.Plot) {
	const margin = 4
	size := p.Legend.Rectangle(c).Size()
	left, top := c.Min.X+p.Legend.XOffs, c.Max.Y+p.Legend.YOffs
	c.SetColor(color.White)
	c.Fill(vg.Rectangle{
		Min: vg.Point{X: left - margin, Y: top - size.Y},
		Max: vg.Point{X: left + size.X + margin, Y: top + margin},
	}.Path())
}

// widen makes room beside the first and the last points, and above the highest ones for
// the legend.
func widen(p *plot.Plot) {
	p.X.Min, p.X.Max = p.X.Min/1.25, p.X.Max*1.25
	p.Y.Min, p.Y.Max = p.Y.Min/1.5, p.Y.Max*1.6
}

// powersOfTwo labels every fourth power of two, which are the numbers of goroutines.
type powersOfTwo struct{}

// Ticks implements plot.Ticker.
func (powersOfTwo) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for exponent := math.Ceil(math.Log2(low)); math.Exp2(exponent) <= high; exponent++ {
		v := math.Exp2(exponent)
		tick := plot.Tick{Value: v}
		if int(exponent)%2 == 0 {
			tick.Label = thousands(v)
		}
		ticks = append(ticks, tick)
	}
	return ticks
}

// decades labels 1, 2 and 5 of each power of ten.
type decades struct{}

// Ticks implements plot.Ticker.
func (decades) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for decade := math.Pow(10, math.Floor(math.Log10(low))); decade <= high; decade *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			if v := digit * decade; low <= v && v <= high {
				ticks = append(ticks, plot.Tick{Value: v, Label: thousands(v)})
			}
		}
	}
	return ticks
}

// thousands returns a whole number with commas.
func thousands(v float64) string {
	s := strconv.FormatInt(int64(math.Round(v)), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// render returns the plot as SVG. Browsers seldom have the font that it is measured by;
// Arial and Helvetica have letters of the same widths.
func render(p *plot.Plot) ([]byte, error) {
	canvas := vgsvg.New(width, height)
	p.Draw(draw.Crop(draw.New(canvas), 6, -14, 6, -8))
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return nil, err
	}
	const measured = "font-family:Liberation Sans"
	if !bytes.Contains(svg.Bytes(), []byte(measured)) {
		return nil, errors.New("the chart's font has changed")
	}
	return bytes.ReplaceAll(svg.Bytes(), []byte(measured), []byte(measured+",Arial,Helvetica,sans-serif")), nil
}

// sansSerif is the font of all texts.
func sansSerif(p *plot.Plot) {
	for _, style := range []*text.Style{
		&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle,
		&p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle,
	} {
		style.Font.Variant = "Sans"
	}
}
