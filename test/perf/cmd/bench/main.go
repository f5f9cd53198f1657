// Command bench measures what the project promises about time and size, and
// holds the figures to their bounds; see docs/performance.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/footprint"
	"github.com/drain-operator/drain-operator/test/perf/injection"
)

const usage = `bench measures and adds to the report what it found.

Usage:
  bench [flags] run <group>...   measure: %s
  bench [flags] table            print the report; exit code 1 if a bound is exceeded

Flags:
`

var errOver = errors.New("a bound is exceeded")

// measure runs one benchmark.
type measure func(ctx context.Context, say func(string, ...any)) ([]perf.Figure, error)

var groups = []struct {
	name    string
	measure measure
}{
	{footprint.Group, func(ctx context.Context, say func(string, ...any)) ([]perf.Figure, error) {
		return footprint.Measure(ctx, ".", say)
	}},
	{injection.Group, injection.Measure},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	path := flags.String("report", "reports/bench.json", "`file` that keeps the figures")
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), usage, strings.Join(names(), ", "))
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch args := flags.Args(); {
	case len(args) > 1 && args[0] == "run":
		return measureAll(ctx, *path, args[1:])
	case len(args) == 1 && args[0] == "table":
		return table(*path, os.Stdout)
	case len(args) == 1 && args[0] == injection.Subcommand:
		return injection.ServeEmpty(os.Stdin, os.Stdout)
	case len(args) == 2 && args[0] == footprint.Subcommand:
		return footprint.RunTask(ctx, args[1], os.Stdout)
	}
	flags.Usage()
	return flag.ErrHelp
}

func names() []string {
	var all []string
	for _, g := range groups {
		all = append(all, g.name)
	}
	return all
}

// measureAll runs groups one after the other, and keeps what each found.
func measureAll(ctx context.Context, path string, chosen []string) error {
	for _, name := range chosen {
		i := slices.Index(names(), name)
		if i < 0 {
			return fmt.Errorf("%q is none of %s", name, strings.Join(names(), ", "))
		}
		progress := perf.NewProgress(os.Stderr)
		begun := perf.Begin(name)
		figures, err := groups[i].measure(ctx, func(format string, args ...any) {
			progress.Say(name+": "+format, args...)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		report, err := perf.Load(path)
		if err != nil {
			return err
		}
		report.Add(begun.End(), figures)
		if err := report.Save(path); err != nil {
			return err
		}
	}
	return nil
}

func table(path string, out io.Writer) error {
	report, err := perf.Load(path)
	if err != nil {
		return err
	}
	if err := report.WriteTable(out); err != nil {
		return err
	}
	if over := report.Over(); len(over) > 0 {
		return fmt.Errorf("%w: %d of %d figures", errOver, len(over), len(report.Figures))
	}
	return nil
}
