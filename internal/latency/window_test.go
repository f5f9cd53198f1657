package latency

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func one(bound float64) Histogram {
	return Histogram{Buckets: []Bucket{{bound, 1}}, SumSeconds: bound}
}

func TestWindowForgets(t *testing.T) {
	w := NewWindow(time.Hour)
	w.Add(start, one(8))
	for now := start; now.Before(start.Add(3 * time.Hour)); now = now.Add(30 * time.Second) {
		if now != start {
			w.Add(now, one(1))
		}
		h, since := w.Histogram(now)
		age, has := now.Sub(start), upTo(h, inf) > upTo(h, 1)
		if age < time.Hour && !has {
			t.Fatalf("forgotten after %v", age)
		}
		if age >= time.Hour+time.Hour/slots && has {
			t.Fatalf("there after %v", age)
		}
		if back := now.Sub(since); back > time.Hour+time.Hour/slots || age >= time.Hour && back < time.Hour-time.Hour/slots {
			t.Fatalf("after %v it goes %v back", age, back)
		}
	}
}

func TestWindowIsEmptyAfterAGap(t *testing.T) {
	w := NewWindow(time.Minute)
	w.Add(start, one(8))
	h, since := w.Histogram(start.Add(time.Minute))
	if diff := cmp.Diff(Histogram{}, h); diff != "" || !since.IsZero() {
		t.Errorf("since %v: %s", since, diff)
	}
}

func TestWindowKeepsItsOwnCopy(t *testing.T) {
	w := NewWindow(time.Minute)
	h := one(8)
	w.Add(start, h)
	h.Buckets[0].Count = 1000
	got, _ := w.Histogram(start)
	got.Buckets[0].Count = 1000
	if got, _ := w.Histogram(start); got.Count() != 1 {
		t.Errorf("%v requests, 1 was added", got.Count())
	}
}

func TestWindowOfAClockThatIsSetBack(t *testing.T) {
	w := NewWindow(time.Hour)
	w.Add(start, one(8))
	w.Add(start.Add(10*time.Minute), one(4))
	back := start.Add(-24 * time.Hour)
	w.Add(back, one(2))
	if h, since := w.Histogram(back); h.Count() != 3 || since != back.Add(-10*time.Minute) {
		t.Errorf("%v requests since %v", h.Count(), since)
	}
	if h, _ := w.Histogram(back.Add(55 * time.Minute)); h.Count() != 2 {
		t.Errorf("%v requests, the first one is older than the window", h.Count())
	}
	if h, _ := w.Histogram(back.Add(time.Hour)); h.Count() != 0 {
		t.Errorf("%v requests after an hour", h.Count())
	}
}

func TestWindowOfAnotherLength(t *testing.T) {
	w := NewWindow(time.Hour)
	for i := range 60 {
		w.Add(start.Add(time.Duration(i)*time.Minute), one(1))
	}
	now := start.Add(59 * time.Minute)
	w.SetLength(10 * time.Minute)
	if h, _ := w.Histogram(now); h.Count() < 10 || h.Count() > 13 {
		t.Errorf("%v requests in 10 minutes and a slot of 3", h.Count())
	}
	w.SetLength(10 * time.Hour)
	for i := range 600 {
		w.Add(now.Add(time.Duration(i)*time.Minute), one(1))
		if len(w.kept) > maxSlots {
			t.Fatalf("%d slots", len(w.kept))
		}
	}
	if h, _ := w.Histogram(now.Add(599 * time.Minute)); h.Count() < 600 {
		t.Errorf("%v requests, 600 are within the window", h.Count())
	}
}

func TestWindowOfNoLength(t *testing.T) {
	w := NewWindow(-time.Hour)
	w.Add(start, one(1))
	if h, _ := w.Histogram(start); h.Count() != 1 {
		t.Error("a window of no length has a second")
	}
}

// Whatever is added, at whatever times and lengths, memory has its bound.
func TestWindowIsBounded(t *testing.T) {
	var pool []Histogram
	for seed := range uint64(200) {
		_, h := observed(rand.New(rand.NewPCG(seed, 13)))
		pool = append(pool, h)
	}
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 10))
		w, now := NewWindow(time.Hour), start
		for range 300 {
			now = now.Add(time.Duration(rng.NormFloat64()*float64(2*time.Minute)) + time.Minute)
			if rng.IntN(20) == 0 {
				w.SetLength(time.Duration(rng.Float64() * float64(24*time.Hour)))
			}
			w.Add(now, pool[rng.IntN(len(pool))])
			if bytes := bytesOf(w); bytes > 57_000 {
				t.Fatalf("seed %d: %d bytes of buckets", seed, bytes)
			}
		}
	}
}

// bytesOf the buckets in a window.
func bytesOf(w *Window) int {
	n := 0
	for _, s := range w.kept {
		n += 16 * cap(s.requests.Buckets)
	}
	return n
}

func BenchmarkWindow(b *testing.B) {
	rng := rand.New(rand.NewPCG(11, 12))
	times := make([]float64, 10_000)
	for i := range times {
		times[i] = math.Exp(1.5*rng.NormFloat64() - 2)
	}
	layouts := map[string][]float64{
		"classic": {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, inf},
		"native":  nativeBounds(times, 3),
		"worst":   nativeBounds(times, 8),
	}
	for name, bounds := range layouts {
		b.Run(name, func(b *testing.B) {
			h := histogramOf(times, bounds, true)
			w, now := NewWindow(time.Hour), start
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(30 * time.Second)
				w.Add(now, h)
				all, _ := w.Histogram(now)
				if s := all.Summarize(0.99); s.Requests == 0 {
					b.Fatal("no requests")
				}
			}
			b.ReportMetric(float64(bytesOf(w)), "B/window")
			b.ReportMetric(float64(len(h.Buckets)), "buckets")
		})
	}
}
