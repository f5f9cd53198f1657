// Package load sends HTTP requests to a workload and tells exactly what became
// of each of them.
//
// It exists because a rollout's cut requests are easy to miss: net/http repeats
// a GET by itself when a reused connection turns out to be closed, and a client
// that waits for slow answers sends less just when it matters. Here every
// request is sent once, at a time fixed beforehand (an open loop), and its end
// is recorded with a cause.
package load
