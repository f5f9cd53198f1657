package binary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Usage is what a replica has used since its start, and what it keeps.
type Usage struct {
	CPU time.Duration
	// GC is the collector's part of it, as the runtime estimates it.
	GC time.Duration
	// Looks at a policy's latency, Seen those that saw something.
	Looks, Seen float64
	// Own is the memory of the process, Resident with the pages of its binary in
	// addition, Peak the most that was ever resident, Live what the last
	// collection left on the heap. MiB.
	Own, Resident, Peak, Live float64
	// Allocated so far: bytes and Objects.
	Allocated, Objects float64
}

const mib = 1 << 20

// Use reads all of it. What reading costs is in none of the differences of two
// CPU times but the next one's: some 50 ms.
func (o *Process) Use() (Usage, error) {
	var u Usage
	if err := errors.Join(o.Alive(), u.fromProc(o.PID())); err != nil {
		return u, err
	}
	page, err := o.Page()
	if err != nil {
		return u, err
	}
	u.Looks = page.Sum("drain_operator_latency_looks_total", nil)
	u.Seen = page.Sum("drain_operator_latency_looks_total", map[string]string{"result": "Seen"})
	u.Live = page.Sum("go_gc_heap_live_bytes", nil) / mib
	u.Allocated = page.Sum("go_gc_heap_allocs_bytes_total", nil)
	u.Objects = page.Sum("go_gc_heap_allocs_objects_total", nil)
	u.GC = time.Duration(page.Sum("go_cpu_classes_gc_total_cpu_seconds_total", nil) * float64(time.Second))
	return u, nil
}

// Memory reads what the kernel says of it, without a request to the replica:
// Own, Resident, Peak and the CPU time.
func (o *Process) Memory() (Usage, error) {
	var u Usage
	return u, u.fromProc(o.PID())
}

// Page reads the replica's metrics.
func (o *Process) Page() (Page, error) {
	status, body, err := o.Scrape(o.token)
	if err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("reading the operator's metrics: status %d: %w", status, err)
	}
	return ParsePage(body)
}

// tick is the unit of times in /proc, which is the same everywhere that Go runs.
const tick = 10 * time.Millisecond

func (u *Usage) fromProc(pid int) (err error) {
	if u.CPU, err = cpuTime(pid); err != nil {
		return err
	}
	for name, value := range map[string]*float64{"RssAnon:": &u.Own, "VmRSS:": &u.Resident, "VmHWM:": &u.Peak} {
		if *value, err = size(pid, name); err != nil {
			return err
		}
	}
	return nil
}

func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// After the name, which may have anything in it: state is field 3, utime 14.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	var used time.Duration
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, err
		}
		used += time.Duration(ticks) * tick
	}
	return used, nil
}

// size is one of a process's sizes in MiB.
func size(pid int, name string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, name); found {
			var kib float64
			_, err := fmt.Sscan(rest, &kib)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, name)
}

// FollowPeak looks at the process's own memory until the context ends.
func (o *Process) FollowPeak(ctx context.Context) (peak func() float64) {
	var highest atomic.Uint64
	go func() {
		for ticker := time.NewTicker(glance); ctx.Err() == nil; <-ticker.C {
			// A process that is gone has no peak any more.
			if now, err := size(o.PID(), "RssAnon:"); err == nil {
				highest.Store(math.Float64bits(max(now, math.Float64frombits(highest.Load()))))
			}
		}
	}()
	return func() float64 { return math.Float64frombits(highest.Load()) }
}
