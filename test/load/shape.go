package load

import (
	"math"
	"math/rand/v2"
	"time"
)

// Method is the HTTP method of a request.
type Method uint8

// The methods that are sent.
const (
	GET Method = iota
	POST
)

// String is the method's name in HTTP.
func (m Method) String() string {
	if m == POST {
		return "POST"
	}
	return "GET"
}

// planned is one request before it is sent.
type planned struct {
	// after is the time since the stream's previous request.
	after  time.Duration
	work   time.Duration
	method Method
}

// shape yields the requests of one stream. The same configuration and stream
// number give the same requests, whatever the answers are.
type shape struct {
	rng  *rand.Rand
	rate float64
	post int
	work Work
	// sigma is that of the logarithm: the 99th percentile of a standard normal
	// distribution is 2.3263, so ln(p99/median) / 2.3263.
	sigma float64
}

const normalP99 = 2.3263478740408408

func newShape(c Config, stream uint64, rate float64) *shape {
	return &shape{
		rng:   rand.New(rand.NewPCG(c.Seed, stream)),
		rate:  rate,
		post:  c.PostPercent,
		work:  c.Work,
		sigma: math.Log(float64(c.Work.P99Millis)/float64(c.Work.MedianMillis)) / normalP99,
	}
}

// next is the stream's next request. Requests arrive independently of one
// another (exponential distances); with rate 0 there is no distance.
func (s *shape) next() planned {
	p := planned{work: s.duration()}
	if s.rng.IntN(100) < s.post {
		p.method = POST
	}
	if s.rate > 0 {
		p.after = time.Duration(s.rng.ExpFloat64() / s.rate * float64(time.Second))
	}
	return p
}

func (s *shape) duration() time.Duration {
	ms := float64(s.work.MedianMillis) * math.Exp(s.sigma*s.rng.NormFloat64())
	ms = min(max(ms, float64(s.work.MinMillis)), float64(s.work.MaxMillis))
	return time.Duration(math.Round(ms)) * time.Millisecond
}
