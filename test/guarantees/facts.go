package guarantees

// facts of the servers by name, as docs/servers measured them.
var facts = map[string]Facts{
	"abrupt":   {OnTerm: AtOnce},
	"shutdown": {OnTerm: Finishes},
	"sdk":      {OnTerm: Finishes},
}

func factsOf(server string) Facts { return facts[server] }
