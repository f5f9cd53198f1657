package scale

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

// audited makes an API server keep such a log.
func audited(dir, log string) (framework.Option, error) {
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

// kind of a request, by what it costs the cluster.
type kind string

const (
	reads kind = "reads"
	// dryRuns are creations of the canaries, which nobody keeps.
	dryRuns kind = "dry runs"
	// reviews are questions who somebody is, and what they may.
	reviews kind = "reviews"
	// renewals of the operator's own lease.
	renewals kind = "renewals of the lease"
	writes   kind = "writes"
)

func (r request) kind() kind {
	switch {
	case r.Verb == "get" || r.Verb == "list" || r.Verb == "watch":
		return reads
	case strings.Contains(r.RequestURI, "dryRun=All"):
		return dryRuns
	case strings.HasSuffix(r.Object.Resource, "reviews"):
		return reviews
	case r.Object.Resource == "leases":
		return renewals
	}
	return writes
}

func (r request) String() string {
	return strings.TrimSuffix(fmt.Sprintf("%s %s/%s", r.Verb, r.Object.Resource, r.Object.Subresource), "/")
}

// requests are those of the operator that came from one time to another, by
// kind and by what was asked for.
type requests map[kind]map[string]int

func (r requests) of(k kind) int {
	sum := 0
	for _, count := range r[k] {
		sum += count
	}
	return sum
}

func readAudit(path string, from, to time.Time) (requests, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	found, seen := requests{}, map[string]bool{}
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
