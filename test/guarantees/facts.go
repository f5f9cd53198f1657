package guarantees

// facts of the bare servers by name: what docs/servers say of each.
var facts = map[string]Facts{
	"go":               {OnTerm: Finishes},
	"node":             {OnTerm: AtOnce},
	"asyncio":          {OnTerm: AtOnce},
	"gunicorn-sync":    {OnTerm: Finishes, ClosesAlways: true},
	"gunicorn-gthread": {OnTerm: Finishes},
	"gunicorn-gevent":  {OnTerm: Finishes},
	"uvicorn":          {OnTerm: Finishes},
	"hypercorn":        {OnTerm: Finishes},
	"nginx":            {OnTerm: AtOnce, Proxy: true},
	"haproxy":          {OnTerm: AtOnce, Proxy: true},
}

func factsOf(server string) Facts { return facts[server] }

// KnowsServer says whether there are facts of a server.
func KnowsServer(name string) bool {
	_, known := facts[name]
	return known
}

// KnowsBalancer says whether the page has a heading for a balancer.
func KnowsBalancer(name string) bool {
	_, known := balancers[name]
	return known
}
