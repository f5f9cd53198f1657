package guarantees

import "testing"

// A failure has the reason of its own kind, or none: where a policy, the
// notification and the middleware are at work, no rule may excuse a cut request
// in general.
func TestExplain(t *testing.T) {
	bare := func(f Failure) Failure { f.Variant, f.Balancer = Bare, "ClusterIP"; return f }
	for name, tc := range map[string]struct {
		failure Failure
		want    string // what the reason contains; "" is none
	}{
		"covered, fresh":                  {Failure{Key: Key{Variant: Covered, Balancer: "ClusterIP"}, Client: Fresh, Cause: "reset"}, ""},
		"covered, busy":                   {Failure{Key: Key{Variant: Covered, Balancer: "HAProxy"}, Client: Busy, Cause: "closed"}, ""},
		"covered, told nobody":            {Failure{Key: Key{Variant: Covered}, Client: WebSocket, Cause: CutUntold}, ""},
		"bare, fresh":                     {bare(Failure{Client: Fresh, Cause: "refused"}), ""},
		"bare, a server that fails":       {bare(Failure{Client: Busy, Cause: "status 5xx"}), ""},
		"bare, busy, ends at once":        {bare(Failure{Client: Busy, Cause: "reset", Facts: Facts{OnTerm: AtOnce}}), "never idle"},
		"bare, busy, finishes":            {bare(Failure{Client: Busy, Cause: "closed"}), "crosses the close"},
		"bare, busy, keeps none":          {bare(Failure{Client: Busy, Cause: "closed", Facts: Facts{ClosesAlways: true}}), ""},
		"covered, busy, nginx reloads":    {Failure{Key: Key{Variant: Covered, Balancer: "nginx"}, Client: Busy, Cause: "closed"}, "reloaded"},
		"covered, fresh, nginx":           {Failure{Key: Key{Variant: Covered, Balancer: "nginx"}, Client: Fresh, Cause: "closed"}, ""},
		"covered, fresh, NodePort, once":  {Failure{Key: Key{Variant: Covered, Balancer: "NodePort"}, Client: Fresh, Cause: "refused", Times: 1}, "node refused"},
		"covered, fresh, NodePort, twice": {Failure{Key: Key{Variant: Covered, Balancer: "NodePort"}, Client: Fresh, Cause: "refused", Times: 2}, ""},
		"covered, fresh, NodePort, reset": {Failure{Key: Key{Variant: Covered, Balancer: "NodePort"}, Client: Fresh, Cause: "reset", Times: 1}, ""},
		"covered, WebSocket, proxied":     {Failure{Key: Key{Variant: Covered, Balancer: "HAProxy"}, Client: WebSocket, Cause: CutUntold}, ""},
		"bare, WebSocket":                 {bare(Failure{Client: WebSocket, Cause: CutUntold}), "nobody tells"},
		"bare, messages":                  {bare(Failure{Client: WebSocket, Cause: Lost}), "on their way"},
		"bare, fresh behind a proxy":      {Failure{Key: Key{Variant: Bare, Balancer: "nginx"}, Client: Fresh, Cause: "status 5xx"}, "proxy"},
		"no policy, fresh":                {Failure{Key: Key{Variant: None, Balancer: "ClusterIP"}, Client: Fresh, Cause: "refused"}, "No DrainPolicy"},
		"no policy, stream":               {Failure{Key: Key{Variant: None}, Client: EventStream, Cause: CutUntold}, "nobody told"},
		"no policy, something of its own": {Failure{Key: Key{Variant: None, Balancer: "ClusterIP"}, Client: Fresh, Cause: "other"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := Explain(tc.failure)
			if (got == "") != (tc.want == "") || !containsText(got, tc.want) {
				t.Errorf("the reason is %q, which should say %q", got, tc.want)
			}
		})
	}
}
