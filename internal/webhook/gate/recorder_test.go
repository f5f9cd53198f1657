package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
)

// server takes what is written. Each write asks before it is done: for nothing
// it is taken, an error refuses it.
type server struct {
	asks chan written

	mu    sync.Mutex
	taken []string
}

type written struct {
	line   string
	answer chan error
}

func newServer() *server { return &server{asks: make(chan written)} }

func (s *server) SetConditions(ctx context.Context, pod *corev1.Pod, conditions []corev1.PodCondition) error {
	c := conditions[0]
	line := fmt.Sprintf("%s %s by %s %d..%d", pod.Name, c.Reason, c.Message, c.LastTransitionTime.Unix(), c.LastProbeTime.Unix())
	w := written{line, make(chan error, 1)}
	select {
	case s.asks <- w:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := <-w.answer
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken = append(s.taken, line)
	}
	return err
}

func (s *server) Release(context.Context, *corev1.Pod, drain.Release) error { return nil }

// next is the next write, which waits for its answer.
func (s *server) next(t *testing.T) written {
	t.Helper()
	select {
	case w := <-s.asks:
		return w
	case <-time.After(10 * time.Second):
		t.Fatal("nothing is written")
		return written{}
	}
}

// counts of results, safe for concurrent use.
type counts struct {
	mu sync.Mutex
	of map[RecordResult]int
}

func (c *counts) add(result RecordResult) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[result]++
}

func (c *counts) want(t *testing.T, want map[RecordResult]int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if diff := cmp.Diff(want, c.of); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

// running is a recorder that writes to a server until the end of the test.
func running(t *testing.T) (*Recorder, *server, *counts) {
	t.Helper()
	s, c := newServer(), &counts{of: map[RecordResult]int{}}
	r := NewRecorder(s, c.add)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it goes on
	if err := r.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r.Close(ctx)
	})
	return r, s, c
}

func (r *Recorder) record(name string, kind drain.Kind, by string, at int64) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID(name)}}
	r.Record(context.Background(), pod, corev1.PodCondition{
		Type: v1alpha1.PodDeletionRequested, Status: corev1.ConditionTrue, Reason: string(kind), Message: by,
		LastTransitionTime: metav1.Unix(at, 0), LastProbeTime: metav1.Unix(at, 0),
	})
}

func end(t *testing.T, r *Recorder) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r.Close(ctx)
	if ctx.Err() != nil {
		t.Error("the recorder does not end")
	}
}

func TestWritesEachPod(t *testing.T) {
	r, s, c := running(t)
	r.record("a", drain.Delete, "jane", 1)
	r.record("b", drain.Evict, "joe", 2)
	s.next(t).answer <- nil
	s.next(t).answer <- nil
	end(t, r)
	slices.Sort(s.taken)
	if diff := cmp.Diff([]string{"a Delete by jane 1..1", "b Evict by joe 2..2"}, s.taken); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c.want(t, map[RecordResult]int{RecordWritten: 2})
}

// While one wish of a pod is written, what comes for it waits, and becomes one.
func TestWritesOneThingOfAPodAtATime(t *testing.T) {
	r, s, c := running(t)
	r.record("a", drain.Evict, "jane", 1)
	first := s.next(t)
	r.record("a", drain.Delete, "joe", 2)
	r.record("a", drain.Evict, "jim", 3)
	select {
	case w := <-s.asks:
		t.Errorf("written meanwhile: %s", w.line)
	default:
	}
	first.answer <- nil
	s.next(t).answer <- nil
	end(t, r)
	if diff := cmp.Diff([]string{"a Evict by jane 1..1", "a Delete by joe 2..3"}, s.taken); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c.want(t, map[RecordResult]int{RecordWritten: 2})
}

// What failed is tried again, as old as it was, together with what came
// meanwhile.
func TestTriesAgain(t *testing.T) {
	r, s, c := running(t)
	r.record("a", drain.Evict, "jane", 1)
	first := s.next(t)
	r.record("a", drain.Delete, "joe", 2)
	first.answer <- errors.New("conflict")
	again := s.next(t)
	if again.line != "a Delete by joe 1..2" {
		t.Errorf("written again: %s", again.line)
	}
	again.answer <- nil
	end(t, r)
	c.want(t, map[RecordResult]int{RecordWritten: 1})
}

func TestGivesUp(t *testing.T) {
	r, s, c := running(t)
	r.record("a", drain.Evict, "jane", 1)
	for range maxTries {
		s.next(t).answer <- errors.New("no")
	}
	end(t, r)
	c.want(t, map[RecordResult]int{RecordFailed: 1})
}

// At the end what waits is written, also what was to be tried again later.
func TestWritesWhatIsLeft(t *testing.T) {
	r, s, c := running(t)
	for i := range 2 * writers {
		r.record(fmt.Sprintf("pod-%02d", i), drain.Evict, "jane", 1)
	}
	s.next(t).answer <- errors.New("not now")
	closed := make(chan struct{})
	go func() {
		defer func() { closed <- struct{}{} }()
		end(t, r)
	}()
	for range 2 * writers {
		s.next(t).answer <- nil
	}
	<-closed
	c.want(t, map[RecordResult]int{RecordWritten: 2 * writers})
}

// An API server that does not answer costs wishes, no answers.
func TestDropsWhatIsTooMuch(t *testing.T) {
	r, _, c := running(t)
	for i := range maxWaiting + writers + 3 {
		r.record(fmt.Sprintf("pod-%d", i), drain.Evict, "jane", 1)
	}
	r.mu.Lock()
	waiting := len(r.waiting)
	r.mu.Unlock()
	if waiting > maxWaiting {
		t.Errorf("%d wait", waiting)
	}
	c.mu.Lock()
	dropped := c.of[RecordDropped]
	c.mu.Unlock()
	if dropped < 3 || dropped > writers+3 {
		t.Errorf("%d were dropped", dropped)
	}
}
