// Command demo shows what a rollout costs with and without a DrainPolicy, on
// the cluster that KUBECONFIG names and on which the operator is deployed; see
// package demo.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/drain-operator/drain-operator/test/demo"
)

// imageName is the image of examples and load generator, as the cluster
// harness lists it in dist/images.json.
const imageName = "drain-examples"

var errNotShown = errors.New("the demo did not show what it claims")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	cfg, report, err := flags(args)
	if err != nil {
		return err
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		return err
	}
	started := time.Now()
	seen, err := demo.Run(ctx, config, cfg, out)
	if err != nil {
		return err
	}
	return show(demo.Conclude(seen, cfg, started), report, out)
}

// show writes the tables and the report, and is an error if a claim failed.
func show(r demo.Report, path string, out io.Writer) error {
	if err := writeTables(r, out); err != nil {
		return err
	}
	for _, s := range r.Others() {
		fmt.Fprintln(out, "  other ", s)
	}
	for _, s := range r.Verdict.Proven {
		fmt.Fprintln(out, "  ok    ", s)
	}
	for _, s := range r.Verdict.Failed {
		fmt.Fprintln(out, "  FAILED", s)
	}
	if err := writeReport(r, path); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\n", r.Headline())
	if r.Grace != nil && len(r.Cells) > 0 {
		fmt.Fprintln(out, r.Grace.Headline())
	}
	fmt.Fprintln(out, "report:", path)
	if !r.Verdict.OK {
		return errNotShown
	}
	return nil
}

// writeTables writes one table per chapter.
func writeTables(r demo.Report, out io.Writer) error {
	fmt.Fprintln(out)
	if len(r.Cells) > 0 {
		if err := demo.WriteTable(out, r.Figures); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	if r.Grace != nil {
		if err := demo.WriteGraceTable(out, r.Grace.Figures); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	return nil
}

func writeReport(r demo.Report, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(r.WriteHTML(f), f.Close())
}

func flags(args []string) (cfg demo.Config, report string, err error) {
	cfg = demo.Default()
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	images := fs.String("images", "dist/images.json", "file with the image references by name")
	fs.StringVar(&cfg.Image, "image", "", "image of examples and load generator, instead of the one in -images")
	fs.StringVar(&cfg.Examples, "examples", cfg.Examples, "folder of the examples")
	fs.StringVar(&report, "report", "reports/demo.html", "where to write the report")
	chapters := fs.String("chapters", "rollout,grace", "chapters to run: rollouts with and without a policy, and the grace period")
	workloads := fs.String("workloads", strings.Join(cfg.Workloads, ","), "examples to run")
	treatments := fs.String("treatments", "none,sleep,policy", "what is done about cut requests")
	fs.IntVar(&cfg.Restarts, "restarts", cfg.Restarts, "rolling restarts per workload and treatment")
	fs.IntVar(&cfg.MinRequests, "min-requests", cfg.MinRequests, "requests that a claim needs")
	scale := fs.Float64("rate", 1, "factor on the rates of requests")
	if err := fs.Parse(args); err != nil {
		return cfg, "", err
	}
	cfg.Workloads = strings.Split(*workloads, ",")
	cfg.Chapters, cfg.Treatments = nil, nil
	for c := range strings.SplitSeq(*chapters, ",") {
		cfg.Chapters = append(cfg.Chapters, demo.Chapter(c))
	}
	for t := range strings.SplitSeq(*treatments, ",") {
		cfg.Treatments = append(cfg.Treatments, demo.Treatment(t))
	}
	cfg.Load.FreshPerSecond *= *scale
	cfg.Load.KeepAlivePerSecond *= *scale
	if cfg.Image == "" {
		cfg.Image, err = imageFrom(*images)
	}
	return cfg, report, err
}

// imageFrom reads the reference of the examples' image, by digest: no registry
// is asked for what a node has by its digest.
func imageFrom(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("which image has the examples? %w", err)
	}
	var images map[string]struct{ Name, Digest string }
	if err := json.Unmarshal(b, &images); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	image := images[imageName]
	if image.Name == "" || image.Digest == "" {
		return "", fmt.Errorf("%s names no image %s", path, imageName)
	}
	repository := image.Name
	if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
		repository = repository[:i]
	}
	return repository + "@" + image.Digest, nil
}
