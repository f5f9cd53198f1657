package drainstatus

// LongLived says what part long-lived connections have in drained, as the
// DrainPolicy spells it. What is not known counts as Exclude.
type LongLived string

const (
	// Exclude: none.
	Exclude LongLived = "Exclude"
	// Wait: they are waited for as requests are.
	Wait LongLived = "Wait"
	// CloseAfter: they are waited for until the time is over in which the
	// workload tells their clients to go.
	CloseAfter LongLived = "CloseAfter"
)

// Standing is what a policy comes to at a moment: CloseAfter is Exclude once
// the time to tell the clients is over.
func (l LongLived) Standing(noticeOver bool) LongLived {
	if l == CloseAfter && noticeOver {
		return Exclude
	}
	return l
}

// Counts says whether long-lived connections keep a workload from being drained.
func (l LongLived) Counts() bool { return l == Wait || l == CloseAfter }
