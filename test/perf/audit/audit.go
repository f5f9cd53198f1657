// Package audit has an API server write down what the operator asks it for, and
// counts that.
package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/drain-operator/drain-operator/test/integration/framework"
)

// auditPolicy has the API server write down what the operator asks for, and
// nobody else.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["system:serviceaccount:` + framework.OperatorNamespace + `:drain-operator"]
- level: None
`

// To makes an API server keep such a log in a file. The policy goes into a folder.
func To(dir, log string) (framework.Option, error) {
	path := filepath.Join(dir, "audit-policy.yaml")
	if err := os.WriteFile(path, []byte(auditPolicy), 0o600); err != nil {
		return nil, err
	}
	return func(control *envtest.Environment) {
		control.ControlPlane.GetAPIServer().Configure().Set("audit-policy-file", path).Set("audit-log-path", log)
	}, nil
}

// request is one entry of the log, as far as it is read.
type request struct {
	AuditID    string    `json:"auditID"`
	Verb       string    `json:"verb"`
	RequestURI string    `json:"requestURI"`
	Received   time.Time `json:"requestReceivedTimestamp"`
	Object     struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
	} `json:"objectRef"`
}

// Kind of a request, by what it costs the cluster.
type Kind string

const (
	// Reads cost the least.
	Reads Kind = "reads"
	// DryRuns are creations of the canaries, which nobody keeps.
	DryRuns Kind = "dry runs"
	// Reviews are questions who somebody is, and what they may.
	Reviews Kind = "reviews"
	// Renewals of the operator's own lease.
	Renewals Kind = "renewals of the lease"
	// Writes are all others.
	Writes Kind = "writes"
)

func (r request) kind() Kind {
	switch {
	case r.Verb == "get" || r.Verb == "list" || r.Verb == "watch":
		return Reads
	case strings.Contains(r.RequestURI, "dryRun=All"):
		return DryRuns
	case strings.HasSuffix(r.Object.Resource, "reviews"):
		return Reviews
	case r.Object.Resource == "leases":
		return Renewals
	}
	return Writes
}

func (r request) String() string {
	return strings.TrimSuffix(fmt.Sprintf("%s %s/%s", r.Verb, r.Object.Resource, r.Object.Subresource), "/")
}

// Requests are those of the operator that came from one time to another, by
// kind and by what was asked for.
type Requests map[Kind]map[string]int

// Of is how many there were of a kind.
func (r Requests) Of(k Kind) int {
	sum := 0
	for _, count := range r[k] {
		sum += count
	}
	return sum
}

// Read reads a log.
func Read(path string, from, to time.Time) (Requests, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	found, seen := Requests{}, map[string]bool{}
	for decoder := json.NewDecoder(file); ; {
		var r request
		err := decoder.Decode(&r)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // the last one is still being written
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		if seen[r.AuditID] || r.Received.Before(from) || !r.Received.Before(to) {
			continue
		}
		seen[r.AuditID] = true // a watch has an entry for its end, too
		if found[r.kind()] == nil {
			found[r.kind()] = map[string]int{}
		}
		found[r.kind()][r.String()]++
	}
}
