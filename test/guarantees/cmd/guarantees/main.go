// Command guarantees produces docs/guarantees/table.md: what clients see of the
// servers that people run, behind the load balancers that they have, when pods
// end; see package guarantees.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/drain-operator/drain-operator/test/guarantees"
)

const usage = `guarantees measures what clients see when pods end, and renders the table.

Usage:
  guarantees [flags] plan     print which cells a run has to do, and how long that takes
  guarantees [flags] run      do them, on the cluster of KUBECONFIG, and render
  guarantees [flags] render   take what runs have logged into the results, and write the page

Flags:
`

// options of the command line.
type options struct {
	matrix                   guarantees.Matrix
	log, results, page       string
	images, archive          string
	resume                   bool
	requests, part, parallel int
	replicas                 int
	rate                     float64
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "guarantees:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	o, verb, err := flags(args)
	if err != nil {
		return err
	}
	switch verb {
	case "plan":
		_, err := o.plan()
		return err
	case "run":
		return errors.Join(o.run(ctx), o.render())
	case "render":
		return o.render()
	}
	return fmt.Errorf("unknown command %q; see -help", verb)
}

func flags(args []string) (o options, verb string, err error) {
	fs := flag.NewFlagSet("guarantees", flag.ContinueOnError)
	fs.Usage = func() {
		fmt.Fprint(fs.Output(), usage)
		fs.PrintDefaults()
	}
	servers := fs.String("servers", "", "servers to run, all when empty: "+strings.Join(serverNames(), ","))
	balancers := fs.String("balancers", "", "load balancers to put in front, all when empty: "+strings.Join(balancerNames(), ","))
	events := fs.String("events", "", "why pods end, all when empty: rollout,scale-down,eviction")
	variants := fs.String("variants", "", "what cooperates, all when empty: covered,bare,none")
	operator := fs.String("operator", "up", "up or down: whether the operator runs while pods end")
	thorough := fs.String("thorough", "", "servers to run behind every balancer instead of the first only; all when servers are named")
	fs.IntVar(&o.requests, "requests", guarantees.Enough, "requests that each client sends at least where nothing may fail")
	fs.IntVar(&o.part, "part", 2000, "the same where failures are to be shown")
	fs.IntVar(&o.parallel, "parallel", 3, "workloads at a time")
	fs.IntVar(&o.replicas, "replicas", 4, "pods of each workload")
	fs.Float64Var(&o.rate, "rate", 1, "factor on the rates of requests")
	fs.BoolVar(&o.resume, "resume", true, "go on where a run with the same log was stopped; otherwise the log begins anew")
	fs.StringVar(&o.log, "log", "reports/guarantees.jsonl", "file to which finished cells are appended")
	fs.StringVar(&o.results, "results", "docs/guarantees/results.json", "the results that the page is rendered from")
	fs.StringVar(&o.page, "page", "docs/guarantees/table.md", "the page")
	fs.StringVar(&o.images, "images", "dist/images.json", "file with the image references by name")
	fs.StringVar(&o.archive, "archive", "dist/drain-servers.tar", "archive of the servers' image, for their versions")
	if err := fs.Parse(args); err != nil {
		return o, "", err
	}
	o.matrix, err = matrix(*servers, *balancers, *events, *variants, *operator, *thorough)
	return o, fs.Arg(0), err
}

// matrix reads the selection of cells.
func matrix(servers, balancers, events, variants, operator, thorough string) (m guarantees.Matrix, err error) {
	var errs []error
	pick := func(what, given string, all []string) []string {
		picked, err := oneOf(what, given, all)
		errs = append(errs, err)
		return picked
	}
	m.Servers = pick("server", servers, serverNames())
	m.Balancers = pick("balancer", balancers, balancerNames())
	for _, e := range pick("event", events, texts(guarantees.Events())) {
		m.Events = append(m.Events, guarantees.Event(e))
	}
	for _, v := range pick("variant", variants, texts(guarantees.Variants())) {
		m.Variants = append(m.Variants, guarantees.Variant(v))
	}
	m.Operator = guarantees.Operator(pick("state of the operator", operator, []string{"up", "down"})[0])
	m.Thorough, m.Control = thoroughServers, controlServer
	if servers != "" {
		m.Thorough = nil
	}
	if thorough != "" {
		m.Thorough = pick("server", thorough, serverNames())
	}
	return m, errors.Join(errs...)
}

// oneOf splits a list, each of which must be known; all when it is empty.
func oneOf(what, given string, all []string) ([]string, error) {
	if given == "" {
		return all, nil
	}
	picked := strings.FieldsFunc(given, func(r rune) bool { return r == ',' || r == ' ' })
	for _, p := range picked {
		if !contains(all, p) {
			return all, fmt.Errorf("no %s %q, there are %s", what, p, strings.Join(all, ", "))
		}
	}
	return picked, nil
}

func contains(all []string, one string) bool {
	for _, a := range all {
		if a == one {
			return true
		}
	}
	return false
}

func texts[T ~string](values []T) []string {
	var s []string
	for _, v := range values {
		s = append(s, string(v))
	}
	return s
}

// say writes a line with the time since the start.
func say() func(string, ...any) {
	begun := time.Now()
	return func(format string, args ...any) {
		fmt.Printf("%7s  %s\n", time.Since(begun).Truncate(time.Second), fmt.Sprintf(format, args...))
	}
}
