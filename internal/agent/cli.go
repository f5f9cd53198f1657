package agent

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/drain-operator/drain-operator/internal/hold"
)

// Exit codes. The kubelet makes a FailedPreStopHook event of all but 0.
const (
	exitOK       = 0
	exitError    = 1
	exitUsage    = 2
	exitTimedOut = 3
	exitSkipped  = 4
	exitUnknown  = 5
)

const usage = `drain-agent keeps a container alive until its pod has drained.

Usage:
  drain-agent install <target>                      copy this binary to target, for an init container
  drain-agent wait --hold <json> [--verbose]        hold until drained; what the preStop hook runs
  drain-agent release                               end the holds of this container by hand
  drain-agent status [--hold <json>] [-o json]      print what the agent sees
  drain-agent version                               print the version

"drain-agent <command> --help" says more. wait exits with 0 when the pod has
drained, 3 at its bound with work left, 4 when there was nothing to hold or it
was released by hand, 5 when the drain status could not be read.
`

// Main runs the command line and returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		_, _ = fmt.Fprint(stderr, usage)
		return exitUsage
	}
	commands := map[string]func([]string, io.Writer, io.Writer) int{
		"install": runInstall, "wait": runWait, "release": runRelease, "status": runStatus, "version": runVersion,
	}
	if command, ok := commands[args[0]]; ok {
		return command(args[1:], stdout, stderr)
	}
	if args[0] == "help" || strings.TrimLeft(args[0], "-") == "help" || args[0] == "-h" {
		_, _ = fmt.Fprint(stdout, usage)
		return exitOK
	}
	_, _ = fmt.Fprintf(stderr, "unknown command %q\n\n%s", args[0], usage)
	return exitUsage
}

// parse reads the flags of a command, which takes so many further arguments.
func parse(flags *flag.FlagSet, about string, args []string, further int, stderr io.Writer) (code int, ok bool) {
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = fmt.Fprintf(stderr, "%s\n", about)
		flags.PrintDefaults()
	}
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK, false
	}
	if err == nil && flags.NArg() != further {
		flags.Usage()
		err = errors.New("usage")
	}
	return exitUsage, err == nil
}

func newFlags(name string) *flag.FlagSet { return flag.NewFlagSet(name, flag.ContinueOnError) }

func fail(stderr io.Writer, err error) int {
	_, _ = fmt.Fprintf(stderr, "drain-agent: %v\n", err)
	return exitError
}

func runInstall(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("install")
	about := "drain-agent install <target>: copies this binary to target, readable and executable for all."
	if code, ok := parse(flags, about, args, 1, stderr); !ok {
		return code
	}
	if err := Install(flags.Arg(0)); err != nil {
		return fail(stderr, err)
	}
	_, _ = fmt.Fprintf(stdout, "installed %s\n", flags.Arg(0))
	return exitOK
}

func runWait(args []string, _, stderr io.Writer) int {
	now := time.Now()
	flags := newFlags("wait")
	encoded := flags.String("hold", "", "the hold's settings, as JSON")
	verbose := flags.Bool("verbose", false, "tell on stderr what is seen")
	if code, ok := parse(flags, "drain-agent wait --hold <json>: returns when the pod has drained, at the latest at the hold's bound.", args, 0, stderr); !ok {
		return code
	}
	spec, unknown, err := hold.ParseNewer(*encoded)
	if err != nil {
		return fail(stderr, err)
	}
	if unknown != nil {
		_, _ = fmt.Fprintf(stderr, "drain-agent: holding without what this version does not know: %v\n", unknown)
	}
	log := func(string, ...any) {}
	if *verbose {
		log = func(format string, args ...any) { _, _ = fmt.Fprintf(stderr, format+"\n", args...) }
	}
	ctx, stop := interruptible()
	defer stop()
	others, err := Holdings()
	if err != nil {
		log("%v", err) // without /proc there is no earlier hold to continue
	}
	log("holding, beside %d others", len(others))
	began := Began(now, *encoded, others)
	result := Wait(ctx, spec, began, log)
	tell := func(result hold.Result) {
		if err := WriteResult(spec, result); err != nil {
			log("%v", err)
		}
		_, _ = fmt.Fprint(stderr, result.Line())
	}
	stopper := NewStopper(spec, firstProcess, log)
	if !stopper.Due(ctx, result) {
		tell(result)
		return exitCode(result)
	}
	stop() // what ends the hold by hand ends its last step only when it comes again
	stopSoftly(stopper, began, result, tell)
	return exitCode(result)
}

// stopSoftly tells the result before it sends the signal, which may end this
// process, too.
func stopSoftly(s Stopper, began time.Time, result hold.Result, tell func(hold.Result)) {
	result.Stop = cmp.Or(s.Obstacle(), s.spec.Stop.Signal)
	tell(result)
	if result.Stop != s.spec.Stop.Signal {
		return
	}
	ctx, stop := interruptible()
	defer stop()
	if err := s.Stop(ctx, began); err != nil {
		s.log("%v", err)
	}
}

// interruptible is cancelled with ErrReleased on SIGUSR1, with ErrStopped when
// the process is told to end.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		select {
		case <-ctx.Done():
		case got := <-signals:
			if got == syscall.SIGUSR1 {
				cancel(ErrReleased)
				return
			}
			cancel(ErrStopped)
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}

func exitCode(r hold.Result) int {
	switch r.Outcome {
	case hold.OutcomeDrained:
		return exitOK
	case hold.OutcomeTimedOut:
		return exitTimedOut
	case hold.OutcomeSkipped:
		return exitSkipped
	}
	return exitUnknown
}

func runRelease(args []string, stdout, stderr io.Writer) int {
	if code, ok := parse(newFlags("release"), "drain-agent release: ends the holds of this container; SIGTERM follows at once.", args, 0, stderr); !ok {
		return code
	}
	told, err := Release()
	for _, pid := range told {
		_, _ = fmt.Fprintf(stdout, "released the hold of process %d\n", pid)
	}
	if err == nil && len(told) == 0 {
		err = errors.New("no hold is running in this container")
	}
	if err != nil {
		return fail(stderr, err)
	}
	return exitOK
}

func runStatus(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("status")
	encoded := flags.String("hold", "", "the hold's settings, as JSON; that of a running hold if not given")
	output := flags.String("o", "table", "table or json")
	if code, ok := parse(flags, "drain-agent status: prints what the agent sees.", args, 0, stderr); !ok {
		return code
	}
	var spec *hold.Spec
	if *encoded != "" {
		parsed, _, err := hold.ParseNewer(*encoded)
		if err != nil {
			return fail(stderr, err)
		}
		spec = &parsed
	}
	report, err := Observe(context.Background(), spec)
	if err != nil {
		return fail(stderr, err)
	}
	write := report.Table
	if *output == "json" {
		write = report.JSON
	}
	if err := write(stdout); err != nil {
		return fail(stderr, err)
	}
	return exitOK
}

// Version is set by the linker; without it the module's is told.
var Version = ""

func runVersion(_ []string, stdout, _ io.Writer) int {
	version := Version
	if info, ok := debug.ReadBuildInfo(); ok && version == "" {
		version = info.Main.Version
	}
	_, _ = fmt.Fprintf(stdout, "drain-agent %s\n", orDefault(version, "unknown"))
	return exitOK
}
