package framework

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/load"
)

// latencyHistogram is what the workload tells of itself, and latencyBounds are
// the bounds of its buckets; test/e2e/workload has their twins.
const latencyHistogram = "workload_request_duration_seconds"

var latencyBounds = func() (bounds []time.Duration) {
	for i := range 22 {
		bounds = append(bounds, time.Duration(0.014*math.Pow(1.5, float64(i))*float64(time.Second)))
	}
	return bounds
}()

// bucketOf is the number of the bucket that a request of this latency is in.
func bucketOf(latency time.Duration) int {
	i, _ := slices.BinarySearch(latencyBounds, latency)
	return i
}

// Around is load of rate requests a second on as many persistent connections
// as they need, whose P99 is p99: most take a little less, none takes longer.
// A fresh connection takes time that its server knows nothing of.
func Around(target string, rate float64, p99 time.Duration) load.Config {
	ms := int(p99.Milliseconds())
	return load.Config{
		Target: target, KeepAlivePerSecond: rate, KeepAliveConns: int(3*rate*p99.Seconds()) + 10, PostPercent: 50, Seed: 7,
		Work: load.Work{MinMillis: ms / 2, MedianMillis: ms * 95 / 100, P99Millis: ms, MaxMillis: ms},
	}
}

// AwaitGrace waits until a policy recommends that grace, on the ground of
// latency that it sees, and returns its status.
func (n *Namespace) AwaitGrace(ctx context.Context, policy string, seconds int32) *v1alpha1.GraceStatus {
	GinkgoHelper()
	var found *v1alpha1.GraceStatus
	n.AwaitPolicy(ctx, policy, func(g Gomega, p *v1alpha1.DrainPolicy) {
		found = p.Status.GracePeriod
		g.Expect(found).NotTo(BeNil())
		g.Expect(found.HoldSeconds).NotTo(BeNil(), "it stands on no measurement: %s", found.Reason)
		g.Expect(found.RecommendedSeconds).To(Equal(seconds), found.Reason)
	})
	n.AwaitCondition(ctx, policy, v1alpha1.ConditionLatencyObserved, metav1.ConditionTrue)
	return found
}

// GraceOf is the terminationGracePeriodSeconds that a new pod would get.
func (n *Namespace) GraceOf(ctx context.Context, b *PodBuilder) int64 {
	GinkgoHelper()
	return *n.WouldBe(ctx, b).Spec.TerminationGracePeriodSeconds
}

// Evict asks for a pod's eviction, with its own grace where seconds is nil.
func (n *Namespace) Evict(ctx context.Context, pod string, seconds *int64) {
	GinkgoHelper()
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: n.Name, Name: pod}}
	if seconds != nil {
		eviction.DeleteOptions = &metav1.DeleteOptions{GracePeriodSeconds: seconds}
	}
	Expect(n.Client.SubResource("eviction").Create(ctx, &corev1.Pod{ObjectMeta: eviction.ObjectMeta}, eviction)).To(Succeed())
}

// GraceLog is everything that the status of one policy said of the grace.
type GraceLog struct {
	policy string

	mu   sync.Mutex
	said []Said
}

// Said is one thing that was said.
type Said struct {
	v1alpha1.GraceStatus
	// Seen is when the test saw it, a moment after it was written.
	Seen time.Time
}

// latency that was said: the upper bound of a bucket, rounded up.
func (s Said) latency() time.Duration {
	return time.Duration(*s.LatencyMilliseconds) * time.Millisecond
}

// FollowGrace begins to note what a policy's status says.
func (n *Namespace) FollowGrace(ctx context.Context, policy string) *GraceLog {
	GinkgoHelper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	DeferCleanup(cancel)
	w, err := n.Client.Watch(ctx, &v1alpha1.DrainPolicyList{}, client.InNamespace(n.Name), client.MatchingFields{"metadata.name": policy})
	Expect(err).NotTo(HaveOccurred())
	l := &GraceLog{policy: policy}
	go func() {
		for e := range w.ResultChan() {
			if p, ok := e.Object.(*v1alpha1.DrainPolicy); ok && p.Status.GracePeriod != nil {
				l.note(*p.Status.GracePeriod, time.Now())
			}
		}
	}()
	return l
}

func (l *GraceLog) note(status v1alpha1.GraceStatus, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.said); n > 0 && l.said[n-1].Reason == status.Reason && l.said[n-1].RecommendedSeconds == status.RecommendedSeconds {
		return
	}
	l.said = append(l.said, Said{GraceStatus: status, Seen: now})
}

// Measured are those that stand on enough requests.
func (l *GraceLog) Measured() []Said {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.said), func(s Said) bool { return s.HoldSeconds == nil || s.LatencyMilliseconds == nil })
}

// FirstSince is when that grace was first recommended after a time.
func (l *GraceLog) FirstSince(begin time.Time, seconds int32) time.Time {
	GinkgoHelper()
	for _, s := range l.Measured() {
		if s.Seen.After(begin) && s.RecommendedSeconds == seconds {
			return s.Seen
		}
	}
	Fail(fmt.Sprintf("%s never recommended %d s", l.policy, seconds))
	return time.Time{}
}

// What a status may be late by: a scrape every 2 s and Prometheus' way to tell,
// times in whole seconds; what it may be ahead by: a look that takes its time;
// and a window that is a twentieth longer at most.
const (
	latest   = 8 * time.Second
	earliest = 6 * time.Second
	slot     = 4 * time.Second
)

// ExpectServed fails the spec unless each latency that was said is within one
// bucket of the load's own P99 in the window before. The report gets both.
func (l *GraceLog) ExpectServed(window time.Duration, served ...load.Results) {
	GinkgoHelper()
	all := joined(served)
	var table strings.Builder
	var wrong []string
	measured := l.Measured()
	for _, s := range measured {
		least, most := p99Around(all, s.ObservedAt.Time, window)
		said := nearestBucket(s.latency())
		line := fmt.Sprintf("%s said P99 ≤ %s (%d requests), served %s to %s, recommended %d s: %s\n",
			s.ObservedAt.Format(time.TimeOnly), s.latency(), s.Requests, least, most, s.RecommendedSeconds, s.Reason)
		table.WriteString(line)
		if said < bucketOf(least)-1 || said > bucketOf(most)+1 {
			wrong = append(wrong, line)
		}
	}
	AddReportEntry("grace of "+l.policy, table.String())
	Expect(measured).NotTo(BeEmpty())
	Expect(wrong).To(BeEmpty(), "more than a bucket from what was served; all:\n%s", table.String())
}

// ExpectP99 fails the spec unless the latency that a status says is within one
// bucket of the P99 of all these requests.
func ExpectP99(status *v1alpha1.GraceStatus, served load.Results) {
	GinkgoHelper()
	said, p99 := Said{GraceStatus: *status}.latency(), served.Quantile(0.99)
	AddReportEntry("P99", fmt.Sprintf("said ≤ %s, served %s to %d requests", said, p99, len(served.Records)))
	Expect(nearestBucket(said)).To(BeNumerically("~", bucketOf(p99), 1), "said %s, served %s", said, p99)
}

// nearestBucket is the bucket whose bound was said, but for its rounding.
func nearestBucket(said time.Duration) int { return bucketOf(said - 2*time.Millisecond) }

// p99Around is the least and the most that the P99 was in the windows that a
// status of that time may be about.
func p99Around(r load.Results, at time.Time, window time.Duration) (least, most time.Duration) {
	for end := at.Add(-latest); !end.After(at.Add(earliest)); end = end.Add(time.Second) {
		for _, length := range []time.Duration{window, window + slot} {
			p := r.Quantile(0.99, r.EndedWithin(end.Add(-length), end))
			if least == 0 || p < least {
				least = p
			}
			most = max(most, p)
		}
	}
	return least, most
}

// joined are the requests of runs that came one after the other.
func joined(runs []load.Results) load.Results {
	all := load.Results{StartedAt: runs[0].StartedAt}
	for _, run := range runs {
		for _, rec := range run.Records {
			rec.Start += run.StartedAt.Sub(all.StartedAt)
			all.Records = append(all.Records, rec)
		}
	}
	return all
}
