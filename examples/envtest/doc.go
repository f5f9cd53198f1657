// Package envtest is a suite as a team keeps it beside its manifests: its CI
// finds out whether the DrainPolicies are valid, and what would be injected
// into the pods. It uses what the operator exports, nothing else. Run it with
// KUBEBUILDER_ASSETS naming a folder with kube-apiserver and etcd.
package envtest
