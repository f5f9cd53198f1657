package load

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// events is a client of an event stream.
type events struct {
	run  *Run
	http *http.Client
	url  string
}

// stream is one connection of such a client.
type stream struct {
	*events
	past
}

// errLeft ends a stream that its client does not want any more.
var errLeft = errors.New("the client has left")

func (c *events) connect(ctx context.Context) past {
	st := stream{events: c}
	asking, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	silence := time.AfterFunc(c.run.cfg.slack(), func() { cancel(errSilent) })
	defer silence.Stop()
	resp, err := st.ask(asking)
	if err == nil {
		c.run.open.Add(1)
		defer c.run.open.Add(-1)
		defer context.AfterFunc(ctx, func() { cancel(errLeft) })()
		err = st.read(resp.Body, func() { silence.Reset(c.run.cfg.slack()) })
		_ = resp.Body.Close()
	}
	if err = cmp.Or(context.Cause(asking), err); errors.Is(err, errLeft) {
		err = nil
	}
	st.err, st.Cause = err, causeOf(err, statusOf(resp))
	return st.past
}

// ask returns a stream, or the answer that is none along with an error.
func (st *stream) ask(ctx context.Context) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, st.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := st.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return resp, fmt.Errorf("status %d", resp.StatusCode)
	}
	st.pod = resp.Header.Get(PodHeader)
	return resp, nil
}

// read takes line after line. The end is an error unless the stream has told
// its client to come back.
func (st *stream) read(body io.Reader, heard func()) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxBody)
	for lines.Scan() {
		heard()
		st.take(lines.Text())
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if st.Told == 0 {
		return io.EOF
	}
	return nil
}

func (st *stream) take(line string) {
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	told := false
	switch field {
	case "retry":
		if ms, err := strconv.Atoi(value); err == nil {
			told, st.hint = true, time.Duration(ms)*time.Millisecond
		}
	case "event":
		told = value == "reconnect"
	case "data":
		w := parseWord([]byte(value))
		told, st.pod = w.Reconnect, cmp.Or(w.Pod, st.pod)
	}
	if told && st.Told == 0 {
		st.Told = max(time.Since(st.run.started), 1)
	}
}
