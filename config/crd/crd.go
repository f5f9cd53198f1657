// Package crd holds the CustomResourceDefinition as `make generate` writes it,
// for programs that install it without this repository's files at hand.
package crd

import _ "embed"

// DrainPolicies is the CustomResourceDefinition of DrainPolicies, as YAML.
//
//go:embed drain-operator.dev_drainpolicies.yaml
var DrainPolicies []byte
