package drain

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

// crowd are long-lived connections, and when they were told to go.
type crowd struct {
	began time.Time
	mu    sync.Mutex
	told  []time.Duration
}

// join adds connections, each of which ends as soon as it is told.
func (c *crowd) join(d *Drainer, n int) {
	if c.began.IsZero() {
		c.began = time.Now()
	}
	for range n {
		notice, end := d.BeginLongLived()
		go func() {
			defer end()
			<-notice
			c.mu.Lock()
			defer c.mu.Unlock()
			c.told = append(c.told, time.Since(c.began))
		}()
	}
}

// left waits until nothing happens any more, and returns how many were not told.
func (c *crowd) left(d *Drainer) int64 {
	synctest.Wait()
	return d.Status().LongLived
}

// perSecond counts who was told in each second from one time to another, and
// says if somebody was told at another time.
func (c *crowd) perSecond(t *testing.T, from, to time.Duration) []int {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := make([]int, (to-from)/time.Second)
	for _, at := range c.told {
		if at < from || at >= to {
			t.Errorf("told after %v, want %v to %v", at, from, to)
			continue
		}
		counts[(at-from)/time.Second]++
	}
	return counts
}

func drainOver(after, seconds int32) drainstatus.Notification {
	return drainstatus.Notification{Draining: true, Notice: &drainstatus.Notice{AfterSeconds: after, Seconds: seconds}}
}

// evenly says whether each second has its share, within a tenth of it and three:
// a second may begin and end between two places.
func evenly(t *testing.T, counts []int, share int) {
	t.Helper()
	t.Logf("told per second: %v", counts)
	for _, n := range counts {
		if off := share/10 + 3; n < share-off || n > share+off {
			t.Errorf("told per second: %v, want about %d in each", counts, share)
			return
		}
	}
}

// A thousand clients do not come back within one second.
func TestNoticeIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{})
		var c crowd
		c.join(d, 1000)
		d.take(drainOver(5, 10))
		time.Sleep(20 * time.Second)
		if left := c.left(d); left != 0 {
			t.Errorf("%d were not told", left)
		}
		evenly(t, c.perSecond(t, 5*time.Second, 15*time.Second), 100)
	})
}

func TestNoticeOfOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{NoticeTime: 4 * time.Second})
		var c crowd
		c.join(d, 100)
		d.SetDraining(true)
		time.Sleep(10 * time.Second)
		evenly(t, c.perSecond(t, 0, 4*time.Second), 25)
	})
}

// To be told again moves nothing.
func TestNoticeIsGivenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{})
		var c crowd
		c.join(d, 100)
		d.take(drainOver(0, 10))
		for range 5 {
			time.Sleep(time.Second)
			d.take(drainOver(60, 600))
			d.SetDraining(true)
		}
		time.Sleep(10 * time.Second)
		evenly(t, c.perSecond(t, 0, 10*time.Second), 10)
	})
}

// Who comes while others are told is told in what is left of the time, or over
// a second when nothing is.
func TestNoticeOfThoseWhoComeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{})
		d.take(drainOver(2, 10))
		time.Sleep(7 * time.Second)
		var late, later crowd
		late.join(d, 100)
		time.Sleep(10 * time.Second)
		evenly(t, late.perSecond(t, 0, 5*time.Second), 20)
		later.join(d, 100)
		time.Sleep(10 * time.Second)
		evenly(t, later.perSecond(t, 0, time.Second), 100)
	})
}

// Those whose moment has not come stay when the pod does.
func TestNoticeIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{})
		var c crowd
		c.join(d, 1000)
		d.take(drainOver(0, 10))
		time.Sleep(3 * time.Second)
		d.SetDraining(false)
		time.Sleep(time.Hour)
		if left := c.left(d); left < 690 || left > 710 {
			t.Errorf("%d stayed, want about 700", left)
		}
		d.take(drainOver(0, 10))
		time.Sleep(10 * time.Second)
		if left := c.left(d); left != 0 {
			t.Errorf("%d were not told the second time", left)
		}
	})
}

// At SIGTERM there may be less time than the notice was given.
func TestNoticeIsHastened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{})
		var c crowd
		c.join(d, 1000)
		d.take(drainOver(0, 100))
		time.Sleep(50 * time.Second)
		d.notices.hasten(10 * time.Second)
		d.notices.hasten(60 * time.Second) // is no sooner
		time.Sleep(10 * time.Second)
		if left := c.left(d); left != 0 {
			t.Errorf("%d were not told", left)
		}
		counts := c.perSecond(t, 0, 60*time.Second)
		evenly(t, counts[:50], 10)
		evenly(t, counts[50:], 50)
	})
}

// Connections that began together end at different ages.
func TestMaxConnectionAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{MaxConnectionAge: 1000 * time.Second})
		var c crowd
		c.join(d, 2000)
		time.Sleep(2000 * time.Second)
		if left := c.left(d); left != 0 || d.Draining() {
			t.Errorf("%d were not told, draining: %v", left, d.Draining())
		}
		evenly(t, c.perSecond(t, 900*time.Second, 1100*time.Second), 10)
	})
}

// While draining, what comes first counts.
func TestMaxConnectionAgeWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{MaxConnectionAge: 10 * time.Second})
		var c crowd
		c.join(d, 100)
		d.take(drainOver(0, 100))
		time.Sleep(11*time.Second + 1)
		if left := c.left(d); left != 0 {
			t.Errorf("%d are older than they may", left)
		}
	})
}

// Connections that end leave nothing behind, told or not.
func TestNoticesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{MaxConnectionAge: time.Hour})
		_, end := d.BeginLongLived()
		var c crowd
		c.join(d, 100)
		end()
		end()
		d.take(drainOver(0, 1))
		time.Sleep(2 * time.Second)
		if left := c.left(d); left != 0 || len(d.notices.all) != 0 {
			t.Errorf("%d connections, %d notices", left, len(d.notices.all))
		}
	})
}

func TestNoticeOfWhatIsNotCounted(t *testing.T) {
	if Notice(t.Context()) != nil {
		t.Error("a notice of no request")
	}
	q := New(Options{}).begin(nil)
	q.end()
	if q.noticed() != nil {
		t.Error("a notice of a request that has ended")
	}
}

// An event stream and a hijacked connection are told over HTTP, and their
// clients hear of it before the connection ends.
func TestNoticeOverHTTP(t *testing.T) {
	d := New(Options{})
	mux := http.NewServeMux()
	mux.Handle("/drain", d.trustedNotifyHandler())
	mux.Handle("/drain-status", d.StatusHandler())
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		LongLived(r)
		_, _ = fmt.Fprint(w, "hello\n")
		_ = http.NewResponseController(w).Flush()
		<-Notice(r.Context())
		_, _ = fmt.Fprint(w, "retry: 100\n")
	})
	mux.HandleFunc("/socket", func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\nhello\n")
		go func() { // outlives the handler
			<-Notice(r.Context())
			_, _ = fmt.Fprint(conn, "1012\n")
			_ = conn.Close()
		}()
	})
	s := start(t, d, mux)
	words := make(chan []string, 2)
	for _, path := range []string{"/events", "/socket"} {
		res, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		if !lines.Scan() || lines.Text() != "hello" {
			t.Fatalf("%s: %q", path, lines.Text())
		}
		go func() {
			var heard []string
			for lines.Scan() {
				heard = append(heard, lines.Text())
			}
			words <- heard
		}()
	}
	expect(t, d, Status{LongLived: 2})
	if got := get(s.Client(), http.MethodGet, s.URL+"/drain-status?waitSeconds=30", nil); decode(t, got).LongLived != 2 {
		t.Errorf("not asked to wait for long-lived connections: %+v", got)
	}
	none := going(s.Client(), http.MethodGet, s.URL+"/drain-status?waitSeconds=30&longLived=true")
	waitForWaiters(t, d, 1)
	if got := get(s.Client(), http.MethodPost, s.URL+"/drain", strings.NewReader(`{"draining":true,"notice":{"afterSeconds":0,"seconds":1}}`)); got.code != http.StatusOK {
		t.Fatalf("told: %+v", got)
	}
	heard := append(receive(t, "the first word", words), receive(t, "the second word", words)...)
	slices.Sort(heard)
	if !slices.Equal(heard, []string{"1012", "retry: 100"}) {
		t.Errorf("heard %q", heard)
	}
	if got := decode(t, receive(t, "the status", none)); got.LongLived != 0 || got.InFlight != 0 {
		t.Errorf("the answer came with %+v", got)
	}
}

func TestStatusRefusesWhatItDoesNotUnderstand(t *testing.T) {
	d := New(Options{})
	s := start(t, d, d.StatusHandler())
	for _, query := range []string{"waitSeconds=soon", "waitSeconds=1&longLived=maybe"} {
		if got := get(s.Client(), http.MethodGet, s.URL+"?"+query, nil); got.code != http.StatusBadRequest {
			t.Errorf("%s: %+v", query, got)
		}
	}
}
