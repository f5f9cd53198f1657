package perf

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Report is what a run of the benchmarks came to.
type Report struct {
	Runs    []Run    `json:"runs"`
	Figures []Figure `json:"figures"`
}

// Run says under which circumstances a group was measured.
type Run struct {
	Group string    `json:"group"`
	At    time.Time `json:"at"`
	// Seconds that it took.
	Seconds float64 `json:"seconds"`
	CPUs    int     `json:"cpus"`
	Kernel  string  `json:"kernel"`
	Go      string  `json:"go"`
	// LoadBefore is the machine's load average over one minute when the run
	// began: times measured on a machine that is busy with something else say
	// little.
	LoadBefore float64 `json:"loadBefore"`
}

// Begin notes the circumstances of a run that begins now.
func Begin(group string) Run {
	return Run{
		Group: group, At: time.Now(), CPUs: runtime.NumCPU(), Kernel: firstWord("/proc/sys/kernel/osrelease"),
		Go: runtime.Version(), LoadBefore: loadAverage(),
	}
}

// End notes how long it took.
func (r Run) End() Run {
	r.Seconds = time.Since(r.At).Seconds()
	return r
}

// Add replaces what the report has of a group.
func (r *Report) Add(run Run, figures []Figure) {
	r.Runs = append(slices.DeleteFunc(r.Runs, func(x Run) bool { return x.Group == run.Group }), run)
	r.Figures = append(slices.DeleteFunc(r.Figures, func(f Figure) bool { return f.Group == run.Group }), figures...)
}

// Over are the figures that exceed their bounds.
func (r *Report) Over() []Figure {
	return slices.DeleteFunc(slices.Clone(r.Figures), func(f Figure) bool { return f.Verdict() != Over })
}

// Load reads a report; one that does not exist yet is empty.
func Load(path string) (Report, error) {
	var r Report
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Save writes the report.
func (r *Report) Save(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func loadAverage() float64 {
	var load float64
	// What cannot be read is told as 0: it is no reason not to measure.
	_, _ = fmt.Sscan(firstWord("/proc/loadavg"), &load)
	return load
}

func firstWord(path string) string {
	data, _ := os.ReadFile(path)
	word, _, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
	return word
}
