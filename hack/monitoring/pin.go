// Package monitoring pins the Prometheus Operator, whose
// CustomResourceDefinitions tests read from its module in the module cache.
package monitoring

import _ "github.com/prometheus-operator/prometheus-operator/pkg/versionutil" // any package pins the module
