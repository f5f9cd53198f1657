// Package samples holds policies to copy. Tests run what is copied.
package samples

import "embed"

// Servers are the policies of servers that people run, servers/<name>.yaml.
//
//go:embed servers/*.yaml
var Servers embed.FS
