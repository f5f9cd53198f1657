package observe

import (
	"errors"
	"fmt"

	"github.com/prometheus-community/prom-label-proxy/injectproxy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// enforced returns a query that sees no series but those of the namespace:
// every selector in it gets the matcher label="namespace". A query that names
// another namespace is an error, not quietly another query.
func enforced(query, label, namespace string) (string, error) {
	matcher := labels.MustNewMatcher(labels.MatchEqual, label, namespace)
	enforcer := injectproxy.NewPromQLEnforcer(true, matcher)
	expr, err := parser.ParseExpr(query)
	if err != nil {
		return "", fmt.Errorf("it does not parse: %w", err)
	}
	if err := enforceAll(enforcer, expr); err != nil {
		return "", err
	}
	sent := expr.String()
	if err := verify(sent, matcher); err != nil {
		return "", err
	}
	return sent, nil
}

// enforceAll enforces the whole tree. The library leaves out the parameters of
// aggregations, which can hold selectors: quantile(scalar(x), y).
func enforceAll(enforcer *injectproxy.PromQLEnforcer, expr parser.Expr) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("its selectors cannot be told: %v", p)
		}
	}()
	if err := enforcer.EnforceNode(expr); err != nil {
		return err
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		aggregate, is := node.(*parser.AggregateExpr)
		if is && aggregate.Param != nil && err == nil {
			err = enforcer.EnforceNode(aggregate.Param)
		}
		return nil
	})
	return err
}

// verify parses what is sent once more and looks at each selector in it.
func verify(sent string, matcher *labels.Matcher) error {
	expr, err := parser.ParseExpr(sent)
	if err != nil {
		return fmt.Errorf("it does not parse once its namespace is set: %w", err)
	}
	var found error
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if selector, is := node.(*parser.VectorSelector); is && !carries(selector, matcher) {
			found = errors.New("a selector in it cannot be given its namespace")
		}
		return nil
	})
	return found
}

func carries(selector *parser.VectorSelector, want *labels.Matcher) bool {
	n := 0
	for _, m := range selector.LabelMatchers {
		if m.Name != want.Name {
			continue
		}
		if m.Type != labels.MatchEqual || m.Value != want.Value {
			return false
		}
		n++
	}
	return n == 1
}
