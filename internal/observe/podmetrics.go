package observe

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// scrapesPerPolicy is how many pods of one policy are asked at a time: pods
// that answer slowly take no more than so many of the process's slots.
const scrapesPerPolicy = 4

// pages is what is remembered of the metrics pages of one policy's pods: the
// window, and the counters of each pod of the sample as they were last seen.
// At most 56 KiB, 10 times 2.5 KiB and 24 KiB of names, whatever the workload.
type pages struct {
	asked  *v1alpha1.PodMetricsLatency
	unit   v1alpha1.LatencyUnit
	window *latency.Window
	served workloads
	sample sample
	last   map[string]latency.Histogram
	// lastRound is when a round last had an answer.
	lastRound time.Time
}

func newPages(l *v1alpha1.Latency) *pages {
	return &pages{
		asked: l.PodMetrics.DeepCopy(), unit: l.Unit,
		window: latency.NewWindow(defaultWindowSeconds * time.Second),
		served: workloads{},
		last:   map[string]latency.Histogram{},
	}
}

// fit says whether what is remembered is of what the policy now asks for.
func (p *pages) fit(l *v1alpha1.Latency) bool {
	return p != nil && p.unit == l.Unit && equality.Semantic.DeepEqual(p.asked, l.PodMetrics)
}

// looked is one pod's page.
type looked struct {
	pod      *corev1.Pod
	counters latency.Histogram
	err      error
}

// observe looks at the sample once and returns what the window has then.
func (p *pages) observe(ctx context.Context, s *scraper, target Target) (latency.Summary, error) {
	length := time.Duration(windowSeconds(target.Policy)) * time.Second
	p.window.SetLength(length)
	if len(target.Pods) == 0 {
		return latency.Summary{}, failf(v1alpha1.ReasonNoData, "no pod runs whose metrics page could be read")
	}
	chosen := p.sample.choose(target.Pods, s.limits.PodsPerRound, target.Now)
	seen := lookAll(ctx, s, chosen, p.asked)
	p.forgetOthers(chosen)
	answered := p.take(seen, target.Now)
	h, from := p.window.Histogram(target.Now)
	if failure := judged(seen, answered, h); failure != nil {
		return latency.Summary{}, failure
	}
	summary, failure := summarized(h, target, target.Now.Sub(from), len(chosen))
	if failure != nil {
		return latency.Summary{}, failure
	}
	summary.Since, summary.At = from, target.Now
	summary.Workloads = p.served.within(target.Now, length)
	return summary, nil
}

// lookAll takes at most four times as long as one page may, also where others
// hold the process's slots: whom it did not come to has not answered.
func lookAll(ctx context.Context, s *scraper, pods []*corev1.Pod, asked *v1alpha1.PodMetricsLatency) []looked {
	ctx, cancel := context.WithTimeout(ctx, 4*s.limits.PodTimeout)
	defer cancel()
	seen := make([]looked, len(pods))
	var group errgroup.Group
	group.SetLimit(scrapesPerPolicy)
	for i, pod := range pods {
		group.Go(func() error {
			h, err := s.look(ctx, pod, asked)
			seen[i] = looked{pod, h, err}
			return nil
		})
	}
	_ = group.Wait()
	return seen
}

// forgetOthers lets go of the counters of pods that are gone, or no longer in the sample.
func (p *pages) forgetOthers(chosen []*corev1.Pod) {
	keep := make(map[string]latency.Histogram, len(chosen))
	for _, pod := range chosen {
		if h, known := p.last[podKey(pod)]; known {
			keep[podKey(pod)] = h
		}
	}
	p.last = keep
}

// take puts what came since the last look into the window, and returns how many
// pods gave a page that can be used. One without the histogram is such a page:
// there was no request yet.
func (p *pages) take(seen []looked, now time.Time) (answered int) {
	var came latency.Histogram
	for _, l := range seen {
		empty := errors.Is(l.err, errNoHistogram)
		p.sample.answered(podKey(l.pod), l.err == nil || empty)
		if l.err != nil && !empty {
			continue
		}
		answered++
		grown := p.grown(l, empty)
		if grown.Count() > 0 {
			p.served.note(plan.WorkloadOf(l.pod), now)
		}
		came = latency.Merge(came, grown)
	}
	if answered > 0 {
		p.window.Add(now, came)
		p.lastRound = now
	}
	return answered
}

// grown is what a pod has counted since the last look at it. The first look
// says nothing of when the requests came, unless the pod has started since the
// last round. A histogram that is not on the page now, and was there, has not
// gone back to 0 for that.
func (p *pages) grown(l looked, empty bool) latency.Histogram {
	key := podKey(l.pod)
	was, known := p.last[key]
	if empty && known {
		return latency.Histogram{}
	}
	p.last[key] = l.counters
	switch {
	case known:
		return since(was, l.counters)
	case startedAfter(l.pod, p.lastRound):
		return l.counters
	}
	return latency.Histogram{}
}

func startedAfter(pod *corev1.Pod, round time.Time) bool {
	started := pod.Status.StartTime
	return started != nil && !round.IsZero() && started.After(round)
}

// judged says why a round saw nothing, if it did not. What the window still has
// from before is no latency of now where no pod answers.
func judged(seen []looked, answered int, window latency.Histogram) *Failure {
	unusable, absent := firstWith(seen, isUnusable), firstWith(seen, func(err error) bool { return errors.Is(err, errNoHistogram) })
	silent := firstWith(seen, func(err error) bool { return errors.Is(err, errSilent) })
	switch {
	case answered == 0 && unusable != nil:
		return failf(v1alpha1.ReasonAnswerUnusable, "no metrics page of %d pods can be used; pod %s: %v", len(seen), unusable.pod.Name, unusable.err)
	case answered == 0:
		return failf(v1alpha1.ReasonNoPodAnswered, "none of %d pods answered; pod %s: %v", len(seen), silent.pod.Name, silent.err)
	case absent != nil && window.Count() == 0 && !anySeen(seen):
		return failf(v1alpha1.ReasonNoData, "no page of %d pods has the histogram with these labels; pod %s: %v", answered, absent.pod.Name, absent.err)
	}
	return nil
}

func isUnusable(err error) bool {
	return err != nil && !errors.Is(err, errSilent) && !errors.Is(err, errNoHistogram)
}

func firstWith(seen []looked, is func(error) bool) *looked {
	for i := range seen {
		if is(seen[i].err) {
			return &seen[i]
		}
	}
	return nil
}

func anySeen(seen []looked) bool {
	return firstWith(seen, func(err error) bool { return err == nil }) != nil
}
