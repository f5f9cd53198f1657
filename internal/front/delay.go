package front

import (
	"strconv"
	"strings"
)

const (
	// DefaultDelaySeconds is AWS' own, where a target group has no other.
	DefaultDelaySeconds = 300

	// maxDelaySeconds is the longest that AWS takes.
	maxDelaySeconds = 3600

	attributeDelay = "deregistration_delay.timeout_seconds"
)

// delay of a target group.
type delay struct {
	seconds  int32
	declared bool
}

// delayIn reads the delay from an annotation with the attributes of a target
// group, key=value,key=value. What AWS would not take is not declared.
func delayIn(attributes string) (d delay) {
	d.seconds = DefaultDelaySeconds
	for pair := range strings.SplitSeq(attributes, ",") {
		key, value, _ := strings.Cut(pair, "=")
		if strings.TrimSpace(key) != attributeDelay {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32)
		if err == nil && n >= 0 && n <= maxDelaySeconds {
			d = delay{int32(n), true}
		}
	}
	return d
}

// or is another delay where this one is not declared.
func (d delay) or(other delay) delay {
	if d.declared {
		return d
	}
	return other
}

// longest of two: the one that asks most of a pod.
func longest(a, b delay) delay {
	if b.seconds > a.seconds || b.seconds == a.seconds && b.declared {
		return b
	}
	return a
}
