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
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/absence"
	"github.com/drain-operator/drain-operator/test/perf/availability"
	"github.com/drain-operator/drain-operator/test/perf/emptyhook"
	"github.com/drain-operator/drain-operator/test/perf/footprint"
	"github.com/drain-operator/drain-operator/test/perf/gate"
	"github.com/drain-operator/drain-operator/test/perf/grace"
	"github.com/drain-operator/drain-operator/test/perf/injection"
	"github.com/drain-operator/drain-operator/test/perf/release"
	"github.com/drain-operator/drain-operator/test/perf/scale"
	"github.com/drain-operator/drain-operator/test/perf/sessions"
	"github.com/drain-operator/drain-operator/test/perf/simulation"
	"github.com/drain-operator/drain-operator/test/perf/startup"
)

const usage = `bench measures and adds to the report what it found.

Usage:
  bench [flags] run <group>...   measure: %s
  bench [flags] table            print the report; exit code 1 if a bound is exceeded

Flags:
`

var errOver = errors.New("a bound is exceeded")

// options of a run.
type options struct {
	report string
	image  string
}

// group is one benchmark.
type group struct {
	name    string
	measure func(ctx context.Context, o options, say func(string, ...any)) ([]perf.Figure, error)
}

// groups in the order of the table. Those from release on need a cluster
// (KUBECONFIG) with the operator on it.
var groups = []group{
	{footprint.Group, func(ctx context.Context, _ options, say func(string, ...any)) ([]perf.Figure, error) {
		return footprint.Measure(ctx, ".", say)
	}},
	{injection.Group, func(ctx context.Context, _ options, say func(string, ...any)) ([]perf.Figure, error) {
		return injection.Measure(ctx, say)
	}},
	{gate.Group, func(ctx context.Context, _ options, _ func(string, ...any)) ([]perf.Figure, error) {
		return gate.Measure(ctx)
	}},
	{simulation.Group, func(ctx context.Context, _ options, say func(string, ...any)) ([]perf.Figure, error) {
		return simulation.Measure(ctx, say)
	}},
	{grace.Group, func(ctx context.Context, _ options, _ func(string, ...any)) ([]perf.Figure, error) {
		return grace.Measure(ctx)
	}},
	{scale.Group, func(ctx context.Context, _ options, say func(string, ...any)) ([]perf.Figure, error) {
		return scale.Measure(ctx, say)
	}},
	{release.Group, func(ctx context.Context, o options, say func(string, ...any)) ([]perf.Figure, error) {
		return release.Measure(ctx, o.image, say)
	}},
	{startup.Group, func(ctx context.Context, o options, say func(string, ...any)) ([]perf.Figure, error) {
		return startup.Measure(ctx, o.image, say)
	}},
	{sessions.Group, func(ctx context.Context, o options, say func(string, ...any)) ([]perf.Figure, error) {
		return sessions.Measure(ctx, o.image, filepath.Dir(o.report), say)
	}},
	{availability.Group, func(ctx context.Context, _ options, say func(string, ...any)) ([]perf.Figure, error) {
		return availability.Measure(ctx, say)
	}},
	{absence.Group, func(ctx context.Context, _ options, say func(string, ...any)) ([]perf.Figure, error) {
		return absence.Measure(ctx, say)
	}},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	var o options
	flags.StringVar(&o.report, "report", "reports/bench.json", "`file` that keeps the figures")
	flags.StringVar(&o.image, "image", "drain-operator.dev/drain-examples:dev", "image with the workload, for what runs on a cluster")
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), usage, strings.Join(names(), ", "))
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch args := flags.Args(); {
	case len(args) > 1 && args[0] == "run":
		return measureAll(ctx, o, args[1:])
	case len(args) == 1 && args[0] == "table":
		return table(o.report, os.Stdout)
	case len(args) == 1 && args[0] == emptyhook.Subcommand:
		return emptyhook.Serve(os.Stdin, os.Stdout)
	case len(args) == 1 && args[0] == grace.Subcommand:
		progress := perf.NewProgress(os.Stderr)
		return grace.MeasureHere(ctx, os.Stdout, func(format string, args ...any) { progress.Say(grace.Group+": "+format, args...) })
	case len(args) == 1 && args[0] == gate.Subcommand:
		progress := perf.NewProgress(os.Stderr)
		return gate.MeasureHere(ctx, os.Stdout, func(format string, args ...any) { progress.Say(gate.Group+": "+format, args...) })
	case len(args) == 1 && args[0] == grace.DaySubcommand:
		return grace.LookForADay(ctx, os.Stdout)
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
func measureAll(ctx context.Context, o options, chosen []string) error {
	for _, name := range chosen {
		i := slices.Index(names(), name)
		if i < 0 {
			return fmt.Errorf("%q is none of %s", name, strings.Join(names(), ", "))
		}
		if err := groups[i].run(ctx, o); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (g group) run(ctx context.Context, o options) error {
	progress := perf.NewProgress(os.Stderr)
	begun := perf.Begin(g.name)
	figures, err := g.measure(ctx, o, func(format string, args ...any) { progress.Say(g.name+": "+format, args...) })
	if err != nil {
		return err
	}
	report, err := perf.Load(o.report)
	if err != nil {
		return err
	}
	report.Add(begun.End(), figures)
	return report.Save(o.report)
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
