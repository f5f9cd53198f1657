package drainstatus

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// MaxNoticeSeconds bounds what is believed of the times in a notification.
const MaxNoticeSeconds = 3600

// Notification tells a workload that it is to drain, or to stay after all.
type Notification struct {
	Draining bool `json:"draining"`
	// Notice is over which time the clients of long-lived connections are to be
	// told; nil where the workload is to choose.
	Notice *Notice `json:"notice,omitempty"`
}

// Notice is a span of time, from the notification on.
type Notice struct {
	// AfterSeconds is when it begins: before, clients that come back may meet
	// the same pod.
	AfterSeconds int32 `json:"afterSeconds"`
	// Seconds is how long it is.
	Seconds int32 `json:"seconds"`
}

// After is when the notice begins.
func (n Notice) After() time.Duration { return time.Duration(n.AfterSeconds) * time.Second }

// For is how long the notice is.
func (n Notice) For() time.Duration { return time.Duration(n.Seconds) * time.Second }

// Over is when the notice is over.
func (n Notice) Over() time.Duration { return n.After() + n.For() }

// Encode renders n as the JSON object of the protocol.
func (n Notification) Encode() ([]byte, error) { return json.Marshal(n) }

// ParseNotification reads the body of a notification as strictly as Parse reads
// a status: {"draining": true} or {"draining": false}, and perhaps a notice.
func ParseNotification(body []byte) (Notification, error) {
	n, err := notification(body)
	if err != nil {
		return Notification{}, fmt.Errorf("notification: %w", err)
	}
	return n, nil
}

func notification(body []byte) (n Notification, err error) {
	fields, err := object(body)
	if err != nil {
		return n, err
	}
	raw, given := fields["draining"]
	if !given {
		return n, errors.New(`"draining" is missing`)
	}
	if n.Draining, err = boolean(raw); err != nil {
		return n, fmt.Errorf(`"draining": %w`, err)
	}
	if raw, given := fields["notice"]; given && string(raw) != "null" {
		n.Notice, err = notice(raw)
	}
	return n, err
}

func notice(raw json.RawMessage) (*Notice, error) {
	fields, err := object(raw)
	if err != nil {
		return nil, fmt.Errorf(`"notice": %w`, err)
	}
	n := &Notice{}
	for name, to := range map[string]*int32{"afterSeconds": &n.AfterSeconds, "seconds": &n.Seconds} {
		raw, given := fields[name]
		if !given {
			continue
		}
		seconds, err := optional(raw, count)
		if err == nil && seconds > MaxNoticeSeconds {
			err = fmt.Errorf("%d is not in 0..%d", seconds, MaxNoticeSeconds)
		}
		if err != nil {
			return nil, fmt.Errorf(`"notice": %q: %w`, name, err)
		}
		*to = int32(seconds) //nolint:gosec // bounded by MaxNoticeSeconds
	}
	return n, nil
}
