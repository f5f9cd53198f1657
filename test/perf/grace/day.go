package grace

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/observe"
	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/fleet"
)

const (
	// DaySubcommand is how this program is started anew for a day of rounds.
	DaySubcommand = "grace-day"

	dayPolicies = 5
	dayPods     = 2
	dayRounds   = 24 * 60 * 60 / usualPeriod
	// fullRounds is when the usual window of an hour has been full for an hour.
	fullRounds = 2 * 60 * 60 / usualPeriod
	// rollout is after how many rounds all pods are replaced.
	rollout = 100
)

// kept is what is remembered of the latency of one policy, in KiB, after two
// hours and after a day.
type kept struct{ Full, Day float64 }

// day lets observers look at pages for a day, in a process of its own whose
// heap is theirs alone. Their clock is ahead of the requests: what matters here
// is how often they look, and that windows move on.
func (b *bench) day(ctx context.Context) error {
	b.say("a day of rounds for %d policies", dayPolicies)
	var out, failed bytes.Buffer
	cmd := exec.CommandContext(ctx, "/proc/self/exe", DaySubcommand)
	cmd.Stdout, cmd.Stderr = &out, &failed
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("a day of rounds: %w: %s", err, failed.Bytes())
	}
	var k kept
	if err := json.Unmarshal(out.Bytes(), &k); err != nil {
		return err
	}
	b.tell(
		perf.Figure{What: "kept of a policy's latency, after 2 hours of rounds and 2 rollouts", Value: k.Full, Unit: "KiB", Samples: fullRounds},
		perf.Figure{What: "the same after 24 hours and 28 rollouts, to before", Value: k.Day / k.Full, Unit: "x", Samples: dayRounds}.AtMost(maxGrowth),
	)
	return nil
}

// LookForADay is what that process does. It writes the result as JSON.
func LookForADay(ctx context.Context, out io.Writer) error {
	factory := observe.New(nil, observe.Limits{})
	before := heap()
	watched := make([]watch, dayPolicies)
	for i := range watched {
		number := i * 10 / dayPolicies // every kind of page
		w := workload{fleet.Workload{Namespace: "team-0", Name: fmt.Sprintf("web-%d", number), Number: number}}
		policy := w.policy()
		policy.Spec.GracePeriod.WindowSeconds = 0 // an hour
		policy.Spec.GracePeriod.Latency = w.podMetrics()
		watched[i] = watch{workload: w, policy: policy, observer: factory.For(policy)}
	}
	var k kept
	now := time.Now()
	for round := 1; round <= dayRounds; round++ {
		now = now.Add(usualPeriod * time.Second)
		for i := range watched {
			if err := watched[i].look(ctx, round, now); err != nil {
				return err
			}
		}
		if round == fullRounds {
			k.Full = (heap() - before) / dayPolicies
		}
	}
	k.Day = (heap() - before) / dayPolicies
	runtime.KeepAlive(watched)
	return json.NewEncoder(out).Encode(k)
}

// watch is one policy that is looked at.
type watch struct {
	workload
	policy   *v1alpha1.DrainPolicy
	observer observe.Observer
	pods     []*corev1.Pod
}

func (w *watch) look(ctx context.Context, round int, now time.Time) error {
	if w.pods == nil || round%rollout == 0 {
		w.pods = nil
		for i := range dayPods {
			pod := w.runningPod(i)
			pod.UID = types.UID(fmt.Sprintf("%d-%d", round, i))
			w.pods = append(w.pods, pod)
		}
	}
	_, err := w.observer.Observe(ctx, observe.Target{Policy: w.policy, Pods: w.pods, Now: now})
	if err != nil {
		return fmt.Errorf("round %d, %s: %w", round, client.ObjectKeyFromObject(w.policy), err)
	}
	return nil
}

// heap is what is in use, in KiB. What pools keep is gone after two collections.
func heap() float64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1024
}
