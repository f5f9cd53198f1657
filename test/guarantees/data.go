package guarantees

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Entry is a finished cell as a run appends it to its log, with what it was
// seen on.
type Entry struct {
	Cell
	Kubernetes string            `json:"kubernetes"`
	Cores      int               `json:"cores"`
	Versions   map[string]string `json:"versions,omitempty"`
}

// Data is what the page is rendered from: cells in the order of Compare, each
// key once.
type Data struct {
	// Kubernetes and Cores of the cluster under test, when last added to.
	Kubernetes string `json:"kubernetes"`
	Cores      int    `json:"cores"`
	// Versions of the servers and balancers, by name.
	Versions map[string]string `json:"versions,omitempty"`
	Cells    []Cell            `json:"cells"`
}

// With is the data with further entries; those that have a key already replace
// it.
func (d Data) With(entries ...Entry) Data {
	for _, e := range entries {
		d.Kubernetes, d.Cores = e.Kubernetes, e.Cores
		if len(e.Versions) > 0 {
			d.Versions = maps.Clone(e.Versions)
		}
		d = d.with(e.Cell)
	}
	return d
}

func (d Data) with(cells ...Cell) Data {
	d.Cells = slices.Clone(d.Cells)
	for _, c := range cells {
		at, found := slices.BinarySearchFunc(d.Cells, c.Key, func(have Cell, k Key) int { return Compare(have.Key, k) })
		if found {
			d.Cells[at] = c
		} else {
			d.Cells = slices.Insert(d.Cells, at, c)
		}
	}
	return d
}

// Encode writes data with one cell a line, so that differences can be read.
func (d Data) Encode() ([]byte, error) {
	cells := d.Cells
	d.Cells = []Cell{}
	head, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, err
	}
	head, found := bytes.CutSuffix(head, []byte("[]\n}"))
	if !found {
		return nil, fmt.Errorf("unexpected end of %q", head)
	}
	b := bytes.NewBuffer(append(head, '['))
	for i, c := range cells {
		line, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n    ")
		b.Write(line)
	}
	b.WriteString("\n  ]\n}\n")
	return b.Bytes(), nil
}

// Decode reads what Encode wrote.
func Decode(b []byte) (Data, error) {
	var d Data
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return d, fmt.Errorf("reading results: %w", err)
	}
	cells := d.Cells
	d.Cells = nil
	return d.with(cells...), nil
}

// ReadLog reads what a run appended, an entry a line. A last line that a killed
// run left incomplete is no entry; one elsewhere is an error.
func ReadLog(r io.Reader) ([]Entry, error) {
	var entries []Entry
	var broken error
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if broken != nil {
			return nil, broken
		}
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			broken = fmt.Errorf("line %d: %w", n, err)
			continue
		}
		entries = append(entries, e)
	}
	return entries, lines.Err()
}
