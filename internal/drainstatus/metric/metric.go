// Package metric judges the dialect Metric of the drain-status protocol: a
// sample of a Prometheus text page that must be 0. It stands apart from
// drainstatus since it brings a parser that the SDK has no use for.
package metric

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

const (
	// MaxPageBytes bounds a metrics page. Pages are longer than drain
	// statuses: a large application exposes a few MiB.
	MaxPageBytes = 4 << 20
	// MaxLineBytes bounds one line of it.
	MaxLineBytes = 64 << 10
	// MaxLines bounds the lines that go to the parser, those that begin with
	// the name: reading them takes time from the app, which has little.
	MaxLines = 10_000
)

// Selector says which samples count: those with exactly this name, as it stands
// at the beginning of the line (a histogram's is name_count, and so on), that
// have all these labels.
type Selector struct {
	Name        string
	MatchLabels map[string]string
}

// Evaluate judges an answer: 200, and the sum over the matching samples is 0.
// No matching sample, one that is negative, infinite or NaN, and a page that
// cannot be read are failures. The page is read line by line, so that a reader
// in a small container needs no memory for the rest of it.
func (s Selector) Evaluate(r drainstatus.Reply) drainstatus.Reading {
	if why := drainstatus.Refused(r); why != "" {
		return drainstatus.NotReadable("%s", why)
	}
	if r.StatusCode != 200 {
		return drainstatus.NotReadable("answered %d, want 200", r.StatusCode)
	}
	if !isText(r.ContentType) {
		return drainstatus.NotReadable("content type %.60q, want text/plain", r.ContentType)
	}
	sum, err := s.Sum(r.Body)
	if err != nil {
		return drainstatus.NotReadable("%s: %v", s.Name, err)
	}
	return judge(s.Name, sum)
}

// Sum adds the values of the matching samples of a page in the Prometheus text
// format: at least one, each finite and not negative, the sum at most
// drainstatus.MaxCount.
func (s Selector) Sum(page io.Reader) (float64, error) {
	if page == nil {
		return 0, errors.New("no page")
	}
	total := counted{parser: expfmt.NewTextParser(model.UTF8Validation), selector: s}
	limited := &io.LimitedReader{R: page, N: MaxPageBytes + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(make([]byte, 0, 4<<10), MaxLineBytes)
	lines.Split(wholeLines)
	for lines.Scan() {
		if err := total.line(lines.Bytes()); err != nil {
			return 0, err
		}
	}
	switch {
	case lines.Err() != nil:
		return 0, fmt.Errorf("reading the page: %w", lines.Err())
	case limited.N == 0:
		return 0, fmt.Errorf("%w: over %d bytes", drainstatus.ErrTooLarge, MaxPageBytes)
	}
	return total.result()
}

// counted adds up samples, a line at a time.
type counted struct {
	parser   expfmt.TextParser
	selector Selector
	lines    int // that went to the parser
	samples  int // that matched
	sum      float64
}

// line adds what a line contributes. Only lines that can hold the sample reach
// the parser. Comments do not: without its TYPE every sample is untyped, and
// its value is where it stands.
func (c *counted) line(line []byte) error {
	if !mayHold(line, c.selector.Name) {
		return nil
	}
	if c.lines++; c.lines > MaxLines {
		return fmt.Errorf("%w: over %d samples", drainstatus.ErrTooLarge, MaxLines)
	}
	families, err := c.parse(line)
	if err != nil {
		return fmt.Errorf("broken sample %.80q: %w", line, err)
	}
	for _, m := range families[c.selector.Name].GetMetric() {
		if !c.selector.matches(m.GetLabel()) {
			continue
		}
		if err := c.add(m.GetUntyped().GetValue()); err != nil {
			return err
		}
	}
	return nil
}

// parse turns a panic of the parser into an error: common v0.67.5 dereferences
// nil at a line "{}", and a workload must not be able to end its own drain so.
func (c *counted) parse(line []byte) (families map[string]*dto.MetricFamily, err error) {
	defer func() {
		if p := recover(); p != nil {
			families, err = nil, fmt.Errorf("the parser gave up: %v", p)
		}
	}()
	return c.parser.TextToMetricFamilies(bytes.NewReader(line))
}

// add refuses negative values: with them, a sum of 0 would prove nothing.
func (c *counted) add(value float64) error {
	if math.IsNaN(value) || math.IsInf(value, 0) || value < 0 {
		return fmt.Errorf("a sample is %v, want a number that is not negative", value)
	}
	c.samples++
	c.sum += value
	return nil
}

func (c *counted) result() (float64, error) {
	switch {
	case c.samples == 0:
		return 0, errors.New("no such sample")
	case c.sum > drainstatus.MaxCount:
		return 0, fmt.Errorf("a sum of %v is not believed", c.sum)
	}
	return c.sum, nil
}

// matches says whether the labels hold all that the selector asks for. A label
// that is not there is the same as an empty one, as in PromQL.
func (s Selector) matches(labels []*dto.LabelPair) bool {
	have := make(map[string]string, len(labels))
	for _, l := range labels {
		have[l.GetName()] = l.GetValue()
	}
	for name, value := range s.MatchLabels {
		if have[name] != value {
			return false
		}
	}
	return true
}

// mayHold says whether a line can be a sample of that name: it begins with it,
// or with a brace, inside which a quoted name may stand.
func mayHold(line []byte, name string) bool {
	line = bytes.TrimLeft(line, " \t")
	if bytes.HasPrefix(line, []byte("{")) {
		return true
	}
	rest, found := bytes.CutPrefix(line, []byte(name))
	return found && len(rest) > 0 && strings.IndexByte("{ \t\r\n", rest[0]) >= 0
}

// wholeLines splits at newlines and keeps them: a page cut short in the middle
// of a line must not read "12" as "1", and the parser refuses a line without
// its newline.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// isText tells the text formats from the binary ones. No content type at all is
// taken for text: the page has to prove itself anyway.
func isText(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "", "text/plain", "application/openmetrics-text":
		return true
	}
	return false
}

func judge(name string, sum float64) drainstatus.Reading {
	r := drainstatus.Reading{
		State:     drainstatus.Busy,
		InFlight:  int64(math.Ceil(sum)),
		LongLived: drainstatus.Untold,
		Reason:    fmt.Sprintf("%s is %v", name, sum),
	}
	if sum == 0 {
		r.State = drainstatus.Drained
	}
	return r
}
