// Command facts measures what the servers of the catalog do, as the test image
// has them, when they are told to end: to a request under way, to one that takes
// longer than their own timeout, to an idle connection, and to new ones. Each
// runs bare, as process 1 of namespaces of its own, on loopback. It needs root
// on Linux. docs/servers.md has the table.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
)

// envCase has the process measure one case, in namespaces of its own.
const envCase = "SERVER_FACTS_CASE"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "facts:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if name := os.Getenv(envCase); name != "" {
		return inside(ctx, name, os.Args[1])
	}
	archive := flag.String("archive", "dist/drain-servers.tar", "the image, as `make e2e-deploy` assembles it")
	parallel := flag.Int("parallel", 4, "cases at a time")
	flag.Parse()
	root, err := unpack(*archive)
	defer os.RemoveAll(root)
	if err != nil {
		return err
	}
	return measureAll(ctx, root, *parallel)
}

// measureAll prints the table: a row for each case.
func measureAll(ctx context.Context, root string, parallel int) error {
	rows, errs := make([]fact, len(cases)), make([]error, len(cases))
	slots := make(chan struct{}, parallel)
	var all sync.WaitGroup
	for i, c := range cases {
		all.Go(func() {
			slots <- struct{}{}
			rows[i], errs[i] = apart(ctx, c.name, root)
			<-slots
			fmt.Fprintf(os.Stderr, "%s: done\n", c.name)
		})
	}
	all.Wait()
	fmt.Println("| server | told by | idle connection, untouched | idle connection, then | new connections | a request of 2 s | a request of 35 s | ends |\n|---|---|---|---|---|---|---|---|")
	for _, r := range rows {
		fmt.Println(r.row())
	}
	versions, err := os.ReadFile(root + "/versions.json")
	if err != nil {
		return err
	}
	printVersions(versions)
	return errors.Join(errs...)
}

// apart measures one case in a process with namespaces of its own.
func apart(ctx context.Context, name, root string) (fact, error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", root)
	cmd.Env = append(os.Environ(), envCase+"="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	f := fact{Name: name}
	if err := cmd.Run(); err != nil {
		return f, fmt.Errorf("%s: %w\n%s", name, err, errOut.Bytes())
	}
	return f, json.Unmarshal(out.Bytes(), &f)
}

func printVersions(data []byte) {
	versions := map[string]string{}
	if json.Unmarshal(data, &versions) != nil {
		return
	}
	var of []string
	for _, name := range []string{"nodejs", "python3.11", "python3-gunicorn", "python3-gevent", "python3-uvicorn", "python3-hypercorn", "python3-h11", "python3-websockets", "python3-wsproto", "nginx", "haproxy"} {
		of = append(of, name+" "+versions[name])
	}
	fmt.Println("\n" + strings.Join(of, ", "))
}
