package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const controlSocket = "control.sock"

// changeTimeout bounds how long a component may take to stop or to be ready.
const changeTimeout = 90 * time.Second

// serveControl answers the other commands on a socket in the state directory.
func serveControl(ctx context.Context, dir string, units map[string]*unit) error {
	path, closeDir, err := shortPath(dir)
	if err != nil {
		return err
	}
	defer closeDir()
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", filepath.Join(path, controlSocket))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /components", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, statuses(r.Context(), units))
	})
	mux.HandleFunc("POST /components/{name}/{action}", func(w http.ResponseWriter, r *http.Request) {
		u, ok := units[r.PathValue("name")]
		if !ok {
			http.Error(w, "no such component", http.StatusNotFound)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), changeTimeout)
		defer cancel()
		if err := change(ctx, u, r.PathValue("action")); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	return server.Serve(l)
}

// shortPath stands for dir in socket addresses, which hold some 100 bytes only.
func shortPath(dir string) (path string, closeDir func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d", f.Fd()), func() { f.Close() }, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// statuses asks ready components anew: they may hang.
func statuses(ctx context.Context, units map[string]*unit) []Status {
	all := make([]Status, 0, len(units))
	for _, u := range units {
		status, _, _ := u.look()
		if status.State == "ready" {
			if err := u.ready(ctx); err != nil {
				status.State, status.Reason = "unhealthy", err.Error()
			}
		}
		all = append(all, status)
	}
	return all
}

func change(ctx context.Context, u *unit, action string) error {
	switch action {
	case "start":
		u.setWanted(true)
		return u.await(ctx, "ready")
	case "stop":
		u.setWanted(false)
		return u.await(ctx, "stopped")
	case "restart":
		u.setWanted(false)
		if err := u.await(ctx, "stopped"); err != nil {
			return err
		}
		u.setWanted(true)
		return u.await(ctx, "ready")
	}
	return fmt.Errorf("%q is none of start, stop and restart", action)
}

// Components asks the running cluster for the state of its components.
func (c *Cluster) Components(ctx context.Context) ([]Status, error) {
	var all []Status
	data, err := c.control(ctx, http.MethodGet, "/components")
	if err != nil {
		return nil, err
	}
	return all, json.Unmarshal(data, &all)
}

// StartComponent starts a component and waits until it is ready.
func (c *Cluster) StartComponent(ctx context.Context, name string) error {
	return c.changeComponent(ctx, name, "start")
}

// StopComponent ends a component (SIGTERM, after 5 s SIGKILL) and keeps it down.
func (c *Cluster) StopComponent(ctx context.Context, name string) error {
	return c.changeComponent(ctx, name, "stop")
}

// RestartComponent stops a component, starts it and waits until it is ready.
func (c *Cluster) RestartComponent(ctx context.Context, name string) error {
	return c.changeComponent(ctx, name, "restart")
}

func (c *Cluster) changeComponent(ctx context.Context, name, action string) error {
	_, err := c.control(ctx, http.MethodPost, "/components/"+name+"/"+action)
	return err
}

func (c *Cluster) control(ctx context.Context, method, path string) ([]byte, error) {
	dir, closeDir, err := shortPath(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("no cluster is up: %w", err)
	}
	defer closeDir()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, controlSocket))
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://supervisor"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("supervisor of %s: %w", c.Dir, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(body))
	}
	return body, err
}
