package drain

import (
	"sync"
	"sync/atomic"
)

// broadcast wakes all who wait. Where nobody waits, waking is one atomic load:
// a server with one request at a time reaches 0 after every one of them.
type broadcast struct {
	waiting atomic.Int64
	mu      sync.Mutex
	ch      chan struct{}
}

// join registers a waiter. Each call of changed returns a channel that is
// closed at the next wake; whoever looks at the state after that call misses
// nothing. leave ends the registration.
func (b *broadcast) join() (changed func() <-chan struct{}, leave func()) {
	b.waiting.Add(1)
	return b.channel, func() { b.waiting.Add(-1) }
}

func (b *broadcast) channel() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) wake() {
	if b.waiting.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
