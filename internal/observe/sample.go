package observe

import (
	"hash/fnv"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// rotateAfter is how often one pod of a sample gives its place to another.
	rotateAfter = 5 * time.Minute
	// maxSilence is how many rounds in a row a pod may not answer before it
	// gives its place to another.
	maxSilence = 3
)

// sample is the pods of a workload that are looked at. It stays the same from
// round to round, since only the difference of two looks at the same pod says
// anything, and moves on by one pod every five minutes, so that each gets its
// turn. The order is one of hashes: neither names nor ages favour a pod.
type sample struct {
	members []member
	// cursor is the hash of the pod that was added last.
	cursor  uint64
	rotated time.Time
}

type member struct {
	key    string
	silent int // rounds in a row without an answer
}

// choose returns at most size of the pods.
func (s *sample) choose(pods []*corev1.Pod, size int, now time.Time) []*corev1.Pod {
	byKey := make(map[string]*corev1.Pod, len(pods))
	for _, p := range pods {
		byKey[podKey(p)] = p
	}
	s.members = slices.DeleteFunc(s.members, func(m member) bool { return byKey[m.key] == nil })
	s.makeRoom(len(byKey) > size, size, now)
	for len(s.members) < min(size, len(byKey)) {
		s.add(byKey)
	}
	chosen := make([]*corev1.Pod, len(s.members))
	for i, m := range s.members {
		chosen[i] = byKey[m.key]
	}
	return chosen
}

// makeRoom lets go of the pods that keep silent and, when its time has come, of
// the one that has been looked at for longest, where others wait.
func (s *sample) makeRoom(othersWait bool, size int, now time.Time) {
	if s.rotated.IsZero() || !othersWait {
		s.rotated = now
	}
	if !othersWait {
		return
	}
	s.members = slices.DeleteFunc(s.members, func(m member) bool { return m.silent >= maxSilence })
	if now.Sub(s.rotated) >= rotateAfter && len(s.members) >= size {
		s.members = slices.Delete(s.members, 0, 1)
		s.rotated = now
	}
}

// add takes in the pod whose hash follows the cursor.
func (s *sample) add(pods map[string]*corev1.Pod) {
	var next, first string
	var nextHash, firstHash uint64
	for key := range pods {
		if s.has(key) {
			continue
		}
		h := hashOf(key)
		if first == "" || h < firstHash || h == firstHash && key < first {
			first, firstHash = key, h
		}
		if h > s.cursor && (next == "" || h < nextHash || h == nextHash && key < next) {
			next, nextHash = key, h
		}
	}
	if next == "" {
		next, nextHash = first, firstHash
	}
	s.members = append(s.members, member{key: next})
	s.cursor = nextHash
}

func (s *sample) has(key string) bool {
	return slices.ContainsFunc(s.members, func(m member) bool { return m.key == key })
}

// answered notes whether a pod answered.
func (s *sample) answered(key string, did bool) {
	for i := range s.members {
		if s.members[i].key != key {
			continue
		}
		if s.members[i].silent++; did {
			s.members[i].silent = 0
		}
	}
}

// podKey tells pods apart, those of the same name too.
func podKey(p *corev1.Pod) string { return p.Namespace + "/" + p.Name + "/" + string(p.UID) }

func hashOf(key string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	return h.Sum64()
}
