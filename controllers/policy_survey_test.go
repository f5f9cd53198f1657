package controllers

import (
	"testing"
	"time"
)

func TestSurveysAreMadeWhenSomethingChanged(t *testing.T) {
	w := newWorld(t, webPolicy(), pod(1))
	surveys := w.reconciler.surveys
	pods := func() int32 {
		made, err := surveys.of(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		return made.coverage["web"].Pods
	}
	steps := []struct {
		name string
		do   func()
		want int32
	}{
		{"at first", func() {}, 1},
		{"nobody told of the second pod", func() { w.add(pod(2)) }, 1},
		{"told, but the survey is new", func() { surveys.podsChanged("default") }, 1},
		{"half a second later", func() { w.clock.SetTime(start.Add(fresh)) }, 2},
		{"a policy changed", func() {
			w.add(pod(3))
			surveys.policiesChanged("default")
		}, 3},
		{"nothing happens for long", func() { w.clock.SetTime(start.Add(time.Hour)) }, 3},
	}
	for _, step := range steps {
		step.do()
		if got := pods(); got != step.want {
			t.Errorf("%s: %d pods, want %d", step.name, got, step.want)
		}
	}
}
