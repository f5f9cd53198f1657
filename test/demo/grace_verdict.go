package demo

// JudgeGrace decides from the figures of the chapter on the grace period. What
// it takes: in each cell every pod went through the policy, and one of each of
// restart and drain hung; the short grace cut something, or nobody would know
// that the demo sees it; the tuned one stands on measurements, cut none of at
// least minRequests requests, and had the restart and the node with a hanging
// pod done sooner than the usual one.
func JudgeGrace(cells []GraceFigures, replicas int32, minRequests int) Verdict {
	var v Verdict
	usual, hasUsual := findGrace(cells, Usual)
	short, hasShort := findGrace(cells, Short)
	tuned, hasTuned := findGrace(cells, Tuned)
	if !hasUsual || !hasShort || !hasTuned {
		v.fail("the grace period: not all of default, too short and tuned were run")
		return v.concluded()
	}
	for _, f := range []GraceFigures{usual, short, tuned} {
		v.hung(f, 2*int(replicas))
	}
	v.cut(short)
	v.measured(tuned)
	v.spared(tuned, minRequests)
	v.sooner(usual, tuned)
	return v.concluded()
}

// hung: the pods that went were held by a policy, and two of them hung.
func (v *Verdict) hung(f GraceFigures, want int) {
	switch {
	case f.Drains < want:
		v.fail("grace %s: %d pods were seen to go, not %d", f.Title(), f.Drains, want)
	case f.Injected < f.Drains:
		v.fail("grace %s: only %d of %d pods were injected", f.Title(), f.Injected, f.Drains)
	case f.Hanging < 2:
		v.fail("grace %s: %d pods hung, not one in the rollout and one in the drain of the node", f.Title(), f.Hanging)
	}
}

// cut: the demo notices a grace that is too short.
func (v *Verdict) cut(f GraceFigures) {
	if n := f.All(); n.Failed() == 0 {
		v.fail("grace %s: none of %s requests was cut: the demo does not notice", f.Title(), number(n.Requests))
		return
	}
	v.prove("grace %s: %s of %s requests were cut, so the demo notices", f.Title(), number(f.All().Failed()), number(f.All().Requests))
}

// measured: the operator chose the grace, and knew why.
func (v *Verdict) measured(f GraceFigures) {
	switch {
	case f.Measured < f.Drains || f.Because == nil:
		v.fail("grace %s: only %d of %d pods had a grace that the operator had worked out from measurements", f.Title(), f.Measured, f.Drains)
	case f.Observed != "True":
		v.fail("grace %s: LatencyObserved was %q when the drain of the node began", f.Title(), f.Observed)
	default:
		v.prove("grace %s: all %d pods had what the operator had worked out", f.Title(), f.Drains)
	}
}

// spared: enough requests, none of them cut.
func (v *Verdict) spared(f GraceFigures, minRequests int) {
	switch n := f.All(); {
	case n.Failed() > 0:
		v.fail("grace %s: %s of %s requests were cut", f.Title(), number(n.Failed()), number(n.Requests))
	case n.Requests < minRequests:
		v.fail("grace %s: %s requests are too few to tell, at least %s are needed", f.Title(), number(n.Requests), number(minRequests))
	default:
		v.prove("grace %s: 0 of %s requests were cut", f.Title(), number(n.Requests))
	}
}

// sooner: what hangs, hangs for less time.
func (v *Verdict) sooner(usual, tuned GraceFigures) {
	for _, c := range []struct {
		what         string
		usual, tuned float64
	}{
		{"the last old pod of the rollout was gone", usual.LastGone.Seconds(), tuned.LastGone.Seconds()},
		{"the node was drained", usual.NodeDrained.Seconds(), tuned.NodeDrained.Seconds()},
	} {
		if c.tuned >= c.usual {
			v.fail("grace %s: with a pod that hangs, %s after %.1f s, no sooner than with the default, after %.1f s", tuned.Title(), c.what, c.tuned, c.usual)
			continue
		}
		v.prove("grace %s: with a pod that hangs, %s after %.1f s; with the default, after %.1f s", tuned.Title(), c.what, c.tuned, c.usual)
	}
}

func findGrace(cells []GraceFigures, s Setting) (GraceFigures, bool) {
	for _, f := range cells {
		if f.Setting == s {
			return f, true
		}
	}
	return GraceFigures{}, false
}
