package observe

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
)

const (
	// maxPageBytes bounds a metrics page, unpacked.
	maxPageBytes = 4 << 20
	// maxLineBytes bounds one line of a text page.
	maxLineBytes = 64 << 10
	// maxHistogramLines bounds the lines of the histogram on a text page: what
	// the parser makes of them takes several times their memory.
	maxHistogramLines = 20_000
)

// errNoHistogram says that a page is in order, and has no such histogram, or no
// series of it that counts. Many clients show a histogram only after the first
// request.
var errNoHistogram = errors.New("no such histogram on the page")

// series selects those series of a page's histograms that count.
type series struct {
	histogram   string
	matchLabels map[string]string
	exclude     []v1alpha1.LabelValues
}

// readPage adds up the series that count, of a page in the Prometheus text
// format or in its protobuf format. Values keep their unit. A page that breaks
// off, is too large, or has a series that cannot be, is an error as a whole.
func (s series) readPage(contentType string, page io.Reader) (latency.Histogram, error) {
	limited := &io.LimitedReader{R: page, N: maxPageBytes + 1}
	total, err := s.read(contentType, limited)
	if limited.N <= 0 {
		return latency.Histogram{}, fmt.Errorf("the page is over %d MiB", maxPageBytes>>20)
	}
	if err != nil {
		return latency.Histogram{}, err
	}
	if total.series == 0 {
		return latency.Histogram{}, errNoHistogram
	}
	return total.sum, nil
}

func (s series) read(contentType string, page io.Reader) (total total, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the parser gave up: %v", p)
		}
	}()
	kind, parameters, err := mime.ParseMediaType(contentType)
	switch {
	case contentType == "", err == nil && kind == "text/plain":
		err = s.readText(page, &total)
	case err == nil && kind == expfmt.ProtoType && isDelimited(parameters):
		err = s.readProtobuf(page, &total)
	default:
		err = fmt.Errorf("content type %.80q, want text/plain or %s", contentType, expfmt.ProtoType)
	}
	return total, err
}

func isDelimited(parameters map[string]string) bool {
	encoding, told := parameters["encoding"]
	return !told || encoding == "delimited"
}

// readText gives the parser the lines of the histogram alone: the rest of a
// page costs next to nothing then, and cannot break anything.
func (s series) readText(page io.Reader, total *total) error {
	lines := takeBuffer()
	defer giveBack(lines)
	if err := s.linesOf(page, lines); err != nil {
		return err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(lines)
	if err != nil {
		return err
	}
	for _, m := range families[s.histogram].GetMetric() {
		if err := s.add(m, total); err != nil {
			return err
		}
	}
	return nil
}

// linesOf writes the samples of the histogram, with a TYPE of ours before
// them: a page may have none, or in a place where it does not help.
func (s series) linesOf(page io.Reader, kept *bytes.Buffer) error {
	fmt.Fprintf(kept, "# TYPE %s histogram\n", s.histogram)
	lines := bufio.NewScanner(page)
	lines.Buffer(make([]byte, 0, 4<<10), maxLineBytes)
	lines.Split(wholeLines)
	for n := 0; lines.Scan(); {
		if !s.isSample(lines.Bytes()) {
			continue
		}
		if n++; n > maxHistogramLines {
			return fmt.Errorf("the histogram has over %d lines", maxHistogramLines)
		}
		kept.Write(lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the page: %w", err)
	}
	return nil
}

// isSample says whether a line begins with the name of one of the histogram's samples.
func (s series) isSample(line []byte) bool {
	rest, found := bytes.CutPrefix(bytes.TrimLeft(line, " \t"), []byte(s.histogram))
	if !found {
		return false
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		after, found := bytes.CutPrefix(rest, []byte(suffix))
		if found && len(after) > 0 && strings.IndexByte("{ \t", after[0]) >= 0 {
			return true
		}
	}
	return false
}

// wholeLines splits at newlines and keeps them: of a page that was cut short,
// the parser must not read "12" as "1". It refuses a line without its newline.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// total of the series of a page.
type total struct {
	sum    latency.Histogram
	series int
}

// add adds one series, if it counts.
func (s series) add(m *dto.Metric, total *total) error {
	if !s.counts(m.GetLabel()) {
		return nil
	}
	if m.GetHistogram() == nil {
		return fmt.Errorf("%s is not a histogram", s.histogram)
	}
	h, err := histogramOf(m.GetHistogram())
	if err != nil {
		return fmt.Errorf("%s: %w", s.histogram, err)
	}
	if total.series++; total.series == 1 || !total.addInPlace(h) {
		total.sum = latency.Merge(total.sum, h)
	}
	return nil
}

// addInPlace spares most pages a copy for each of their series.
func (t *total) addInPlace(h latency.Histogram) bool {
	if !slices.EqualFunc(t.sum.Buckets, h.Buckets, sameBound) {
		return false
	}
	for i, b := range h.Buckets {
		t.sum.Buckets[i].Count += b.Count
	}
	t.sum.SumSeconds += h.SumSeconds
	t.sum.SlackSeconds += h.SlackSeconds
	return true
}

func sameBound(a, b latency.Bucket) bool { return a.UpperBound == b.UpperBound }

// counts says whether the labels are those asked for. A label that is not there
// is the same as an empty one, as in PromQL.
func (s series) counts(labels []*dto.LabelPair) bool {
	have := make(map[string]string, len(labels))
	for _, l := range labels {
		have[l.GetName()] = l.GetValue()
	}
	for name, value := range s.matchLabels {
		if have[name] != value {
			return false
		}
	}
	return !slices.ContainsFunc(s.exclude, func(e v1alpha1.LabelValues) bool {
		return slices.Contains(e.Values, have[e.Label])
	})
}
