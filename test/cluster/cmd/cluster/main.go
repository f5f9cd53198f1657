// Command cluster brings a one-node Kubernetes up and down. docs/cluster.md tells
// how it works.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sort"
	"strings"
	"syscall"

	"github.com/drain-operator/drain-operator/test/cluster"
)

const usage = `usage: cluster <command>

  up                        bring the cluster up, or say that it is
  down                      take it down, and remove everything of it
  status                    the state of its components
  run -- command args…      run a command with KUBECONFIG set, on a cluster for as long as it takes
  exec -- command args…     run a command inside the node
  load archive…             make images of OCI archives known to the node
  component start|stop|restart name
  build [binary…]           build the Kubernetes binaries into the cache
  assets                    print the folder that envtest wants
  bin                       print the folder of the binaries

CLUSTER_DIR               state directory (default .cluster at the repository root)
CLUSTER=existing          use the cluster of KUBECONFIG instead
CLUSTER_LOGS              folder for the logs of a cluster that failed
DRAIN_OPERATOR_CACHE      folder for built binaries (default ~/.cache/drain-operator)
`

func main() { os.Exit(exitCode()) }

// exitCode is that of the command that was run, if one was.
func exitCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode()
	}
	fmt.Fprintln(os.Stderr, "cluster:", err)
	return 1
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command given\n\n%s", strings.TrimRight(usage, "\n."))
	}
	command, args := args[0], args[1:]
	if command == cluster.SuperviseCommand {
		return cluster.Supervise(args)
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	c, err := cluster.New("", os.Stderr)
	if err != nil {
		return err
	}
	if os.Getenv("CLUSTER") == "existing" && !slices.Contains([]string{"assets", "build", "bin"}, command) {
		return runExisting(ctx, command, args)
	}
	return runOwn(ctx, c, command, args)
}

func runOwn(ctx context.Context, c *cluster.Cluster, command string, args []string) error {
	switch command {
	case "up":
		return c.Up(ctx)
	case "down":
		return c.Down(ctx)
	case "status":
		return status(ctx, c)
	case "run":
		return c.Run(ctx, args, os.Stdin, os.Stdout, os.Stderr)
	case "exec":
		return c.Exec(ctx, cluster.Command{Args: args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	case "load":
		return load(ctx, c, args)
	case "component":
		return component(ctx, c, args)
	case "build":
		_, err := c.Build(ctx, args...)
		return err
	case "assets":
		return show(c.Assets(ctx))
	case "bin":
		return show(c.BinDir())
	}
	return fmt.Errorf("unknown command %q\n\n%s", command, usage)
}

func show(text string, err error) error {
	if err == nil {
		fmt.Println(text)
	}
	return err
}

func status(ctx context.Context, c *cluster.Cluster) error {
	all, err := c.Components(ctx)
	if err != nil {
		return err
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	for _, s := range all {
		fmt.Printf("%-24s %-9s pid %-6d exits %d  %s\n", s.Name, s.State, s.PID, s.Exits, s.Reason)
	}
	return nil
}

func load(ctx context.Context, c *cluster.Cluster, archives []string) error {
	if len(archives) == 0 {
		return errors.New("name the archives to load")
	}
	refs, err := c.Load(ctx, archives...)
	for _, ref := range refs {
		fmt.Printf("%s@%s\n", ref.Name, ref.Digest)
	}
	return err
}

func component(ctx context.Context, c *cluster.Cluster, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: cluster component start|stop|restart name")
	}
	switch args[0] {
	case "start":
		return c.StartComponent(ctx, args[1])
	case "stop":
		return c.StopComponent(ctx, args[1])
	case "restart":
		return c.RestartComponent(ctx, args[1])
	}
	return fmt.Errorf("%q is none of start, stop and restart", args[0])
}

// runExisting serves CLUSTER=existing: the cluster belongs to someone else, so it
// is neither started nor stopped, and images reach it through a registry, before.
func runExisting(ctx context.Context, command string, args []string) error {
	if os.Getenv("KUBECONFIG") == "" {
		return errors.New("CLUSTER=existing needs KUBECONFIG")
	}
	switch command {
	case "up", "down":
		fmt.Fprintln(os.Stderr, "CLUSTER=existing: the cluster of", os.Getenv("KUBECONFIG"), "is left as it is")
		return nil
	case "run":
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		return cmd.Run()
	case "load":
		fmt.Fprintln(os.Stderr, "CLUSTER=existing: images come from the registry that they were pushed to (make image-push)")
		return nil
	}
	return fmt.Errorf("%s is not possible with CLUSTER=existing", command)
}
