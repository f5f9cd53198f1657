package observe

import (
	"bytes"
	"sync"
)

// maxPooledBytes is the largest buffer that is kept for the next page.
const maxPooledBytes = 256 << 10

// buffers for what is kept of a page while it is read: thousands of pages come
// in a round, and each would grow one of its own.
var buffers = sync.Pool{New: func() any { return &bytes.Buffer{} }}

func takeBuffer() *bytes.Buffer { return buffers.Get().(*bytes.Buffer) } //nolint:forcetypeassert // nothing else is in it

// giveBack lets the next page have a buffer, unless it has become too large.
func giveBack(b *bytes.Buffer) {
	if b.Cap() <= maxPooledBytes {
		b.Reset()
		buffers.Put(b)
	}
}
