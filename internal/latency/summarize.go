package latency

import "math"

// Summarize returns the quantile (0.99 for P99) of how long requests took, and
// of what requests in flight still need. Since and At are left zero. Of no
// requests both figures are 0; a quantile outside 0 to 1 is the nearer of both,
// and one that is no number is 1.
func (h Histogram) Summarize(quantile float64) Summary {
	quantile = clampQuantile(quantile)
	s := Summary{Requests: floor(h.Count())}
	latency := h.quantile(quantile)
	if math.IsInf(latency, 1) {
		s.TooCoarse = true
		latency = h.lastBound()
	}
	s.Latency = duration(latency)
	s.Residual, s.ResidualTooCoarse = h.Residual(quantile)
	if s.TooCoarse {
		s.ResidualTooCoarse = true
	}
	return s
}

func clampQuantile(q float64) float64 {
	if math.IsNaN(q) {
		return 1
	}
	return min(max(q, 0), 1)
}

func floor(count float64) int64 {
	if count >= math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(count)
}

// quantile is the upper bound of the bucket that has the request of rank
// ceil(quantile × requests), in seconds: where in its bucket it lies is not
// known. Prometheus' histogram_quantile interpolates, and may be below.
func (h Histogram) quantile(quantile float64) float64 {
	n := h.Count()
	rank := min(max(math.Ceil(quantile*n), 1), n)
	bound, counted := 0.0, 0.0
	for _, b := range h.Buckets {
		if b.Count == 0 {
			continue
		}
		bound = b.UpperBound
		counted += b.Count
		if counted >= rank {
			break
		}
	}
	return bound
}

// lastBound is the largest finite bound, in seconds; 0 if there is none.
func (h Histogram) lastBound() float64 {
	for i := len(h.Buckets) - 1; i >= 0; i-- {
		if bound := h.Buckets[i].UpperBound; !math.IsInf(bound, 1) {
			return bound
		}
	}
	return 0
}
