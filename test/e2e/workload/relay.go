package main

import (
	"errors"
	"io"
	"net"
)

// relay passes connections on, as a proxy beside the app does. A connection
// counts as in flight from its first byte to its end, for want of knowing better.
func relay(l net.Listener, to string, w *work) error {
	for {
		in, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go relayOne(in, to, w)
	}
}

func relayOne(in net.Conn, to string, w *work) {
	defer in.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return // the client sees its connection closed: a request lost
	}
	defer out.Close()
	w.begin()
	defer w.finish()
	done := make(chan struct{}, 2)
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		_ = to.(*net.TCPConn).CloseWrite()
		done <- struct{}{}
	}
	go pass(out, in)
	go pass(in, out)
	<-done
	<-done
}
