package observe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEnforced(t *testing.T) {
	tests := map[string]struct{ query, want string }{
		"a selector":              {`up`, `up{namespace="shop"}`},
		"its own namespace":       {`up{namespace="shop"}`, `up{namespace="shop"}`},
		"a wider matcher":         {`up{namespace=~".+"}`, `up{namespace="shop"}`},
		"two matchers":            {`up{namespace=~"s.*",namespace!="x"}`, `up{namespace="shop"}`},
		"a range":                 {`rate(up[5m])`, `rate(up{namespace="shop"}[5m])`},
		"a name in braces":        {`{__name__=~".+"}`, `{__name__=~".+",namespace="shop"}`},
		"a quoted name":           {`{"up"}`, `{__name__="up",namespace="shop"}`},
		"a subquery":              {`max_over_time(sum(up)[1h:1m])`, `max_over_time(sum(up{namespace="shop"})[1h:1m])`},
		"another time":            {`up offset 1h + up @ 1700000000`, `up{namespace="shop"} offset 1h + up{namespace="shop"} @ 1700000000.000`},
		"or":                      {`up or secret`, `up{namespace="shop"} or secret{namespace="shop"}`},
		"or vector":               {`up or vector(1)`, `up{namespace="shop"} or vector(1)`},
		"unless, on and group":    {`up * on () group_left (a) (secret)`, `up{namespace="shop"} * on () group_left (a) (secret{namespace="shop"})`},
		"label_replace":           {`label_replace(secret, "namespace", "shop", "", "")`, `label_replace(secret{namespace="shop"}, "namespace", "shop", "", "")`},
		"label_join":              {`label_join(secret, "namespace", "-", "a")`, `label_join(secret{namespace="shop"}, "namespace", "-", "a")`},
		"absent":                  {`absent(secret{a="b"})`, `absent(secret{a="b",namespace="shop"})`},
		"unary and parentheses":   {`-((secret))`, `-((secret{namespace="shop"}))`},
		"by the label":            {`sum by (namespace) (secret)`, `sum by (namespace) (secret{namespace="shop"})`},
		"parameter of quantile":   {`quantile(scalar(secret), up)`, `quantile(scalar(secret{namespace="shop"}), up{namespace="shop"})`},
		"parameter of topk":       {`topk(scalar(sum(secret)), up)`, `topk(scalar(sum(secret{namespace="shop"})), up{namespace="shop"})`},
		"parameter in parameters": {`topk(scalar(topk(scalar(secret), b)), up)`, `topk(scalar(topk(scalar(secret{namespace="shop"}), b{namespace="shop"})), up{namespace="shop"})`},
		"argument of a function":  {`histogram_quantile(scalar(secret), up)`, `histogram_quantile(scalar(secret{namespace="shop"}), up{namespace="shop"})`},
		"a comment":               {"up # {namespace=\"other\"}\n", `up{namespace="shop"}`},
		"a string that looks so":  {`label_replace(up, "a", "secret{}", "", "")`, `label_replace(up{namespace="shop"}, "a", "secret{}", "", "")`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := enforced(tc.query, "namespace", "shop")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("query (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEnforcedRefuses(t *testing.T) {
	tests := map[string]struct{ query, why string }{
		"another namespace":              {`up{namespace="other"}`, "conflicts"},
		"another one in quotes":          {`{"up","namespace"="other"}`, "conflicts"},
		"another one by expression":      {`up{namespace=~"other|more"}`, "conflicts"},
		"not its own":                    {`up{namespace!="shop"}`, "conflicts"},
		"no namespace":                   {`up{namespace=""}`, "conflicts"},
		"its own and another":            {`up{namespace="shop",namespace="other"}`, "conflicts"},
		"another in a parameter":         {`quantile(scalar(secret{namespace="other"}), up)`, "conflicts"},
		"another in a subquery":          {`max_over_time((secret{namespace="other"})[1h:])`, "conflicts"},
		"series that info joins":         {`info(up, {namespace="other"})`, "parse"},
		"series that info joins unasked": {`info(up)`, "parse"},
		"two queries":                    {"up; secret", "parse"},
		"or within braces":               {`{a="b" or namespace="other"}`, "parse"},
		"a brace too many":               {`up} or secret{`, "parse"},
		"nothing":                        {``, "parse"},
		"deep parentheses":               {strings.Repeat("(", 4000), "parse"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := enforced(tc.query, "namespace", "shop")
			if err == nil || !strings.Contains(err.Error(), tc.why) {
				t.Errorf("got %q, %v; want an error with %q", got, err, tc.why)
			}
		})
	}
}

// Whatever is asked, each selector that is sent has the namespace, or nothing is sent.
func FuzzEnforced(f *testing.F) {
	for _, seed := range []string{
		`up`, `sum by (le) (increase(x_bucket{pod=~"a"}[1h]))`, `topk(scalar(secret), up)`, `{"a b"="c"}`, "`", `a{namespace=~".*"} @ end()`,
		`count_values("x", y) or vector(1)`, `limitk(1, up)`, `info(up)`, `up{__name__!="up"}`, `{"up", namespace="shop"}`, `sum(x) by ("ä")`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		sent, err := enforced(query, "namespace", "shop")
		if err != nil {
			return
		}
		again, err := enforced(sent, "namespace", "shop")
		if err != nil || strings.Count(again, `namespace="shop"`) != strings.Count(sent, `namespace="shop"`) {
			t.Errorf("%q is sent as %q, and that as %q: %v", query, sent, again, err)
		}
	})
}
