// Command vulncheck runs govulncheck where its database can be reached, and
// says so where it cannot: lack of network is no finding, and no clean bill of
// health either.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// patience is how long the database may take to say how old it is.
const patience = 10 * time.Second

// index is what a database says of itself (https://go.dev/doc/security/vuln/database).
const index = "index/db.json"

func main() {
	tool := flag.String("govulncheck", "bin/govulncheck", "`path` of govulncheck")
	database := flag.String("db", "https://vuln.go.dev", "`URL` of the database: https, http, or file for a copy")
	require := flag.Bool("require", false, "fail when the database cannot be reached")
	folder := flag.String("C", ".", "`folder` of the module to check")
	flag.Parse()
	code, err := run(context.Background(), config{*tool, *database, *folder, *require, flag.Args()}, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "vulncheck:", err)
	}
	os.Exit(code)
}

type config struct {
	tool, database, folder string
	require                bool
	patterns               []string
}

// run returns the exit code: 0, govulncheck's own (3 when something vulnerable
// is called), or 1 with an error.
func run(ctx context.Context, c config, stdout, stderr io.Writer) (int, error) {
	modified, err := age(ctx, c.database)
	if err != nil {
		fmt.Fprintf(stderr, "\n*** NOT CHECKED for known vulnerabilities: the database cannot be read.\n***   %v\n"+
			"*** Nothing is known of the dependencies' vulnerabilities from this run. Run it where %s\n"+
			"*** can be reached, or give it a copy: make verify-vulnerabilities VULNDB=file:///path\n\n", err, c.database)
		if c.require {
			return 1, errors.New("a check was required")
		}
		return 0, nil
	}
	fmt.Fprintf(stdout, "known vulnerabilities, by %s as of %s:\n", c.database, modified.Format(time.DateOnly))
	check := exec.CommandContext(ctx, c.tool, append([]string{"-C", c.folder, "-db", c.database}, c.patterns...)...)
	check.Stdout, check.Stderr = stdout, stderr
	var failed *exec.ExitError
	if err := check.Run(); errors.As(err, &failed) {
		return failed.ExitCode(), nil // it has said why
	} else if err != nil {
		return 1, err
	}
	return 0, nil
}

// age is when a database was last changed.
func age(ctx context.Context, database string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	text, err := read(ctx, database)
	if err != nil {
		return time.Time{}, err
	}
	var meta struct {
		Modified time.Time `json:"modified"`
	}
	if err := json.Unmarshal(text, &meta); err != nil || meta.Modified.IsZero() {
		return time.Time{}, fmt.Errorf("%s is no vulnerability database: %s has no date", database, index)
	}
	return meta.Modified, nil
}

func read(ctx context.Context, database string) ([]byte, error) {
	u, err := url.Parse(database)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "file" {
		return os.ReadFile(filepath.Join(u.Path, index))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, database+"/"+index, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", request.URL, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, 64<<10))
}
