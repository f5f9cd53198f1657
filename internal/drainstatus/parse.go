package drainstatus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// ErrTooLarge is returned for a body over its bound.
var ErrTooLarge = errors.New("body is too large")

// ErrVersion is returned for a version of the protocol other than 1.
var ErrVersion = errors.New("unsupported version of the drain status")

// maxAgeSeconds is the largest age that is believed, some 30 years.
const maxAgeSeconds = 1e9

// Parse reads a drain status. Whoever wrote it is not trusted: the body is at
// most MaxBodyBytes and one JSON object and nothing else; version and inFlight
// are required; a known field has its own spelling, its own type, a sane value,
// and is given once. Unknown fields are skipped, so that a workload may say
// more than the protocol asks.
func Parse(body []byte) (Status, error) {
	fields, err := object(body)
	if err != nil {
		return Status{}, fmt.Errorf("drain status: %w", err)
	}
	s, err := status(fields)
	if err != nil {
		return Status{}, fmt.Errorf("drain status: %w", err)
	}
	return s, nil
}

func status(fields map[string]json.RawMessage) (Status, error) {
	if err := version(fields); err != nil {
		return Status{}, err
	}
	s := Status{Version: Version}
	if _, given := fields["inFlight"]; !given {
		return Status{}, errors.New(`"inFlight" is missing`)
	}
	var err error
	for name, raw := range fields {
		switch name {
		case "inFlight":
			s.InFlight, err = count(raw)
		case "longLived":
			s.LongLived, err = optional(raw, count)
		case "oldestInFlightSeconds":
			s.OldestInFlightSeconds, err = optional(raw, age)
		case "oldestLongLivedSeconds":
			s.OldestLongLivedSeconds, err = optional(raw, age)
		case "draining":
			s.Draining, err = optional(raw, boolean)
		}
		if err != nil {
			return Status{}, fmt.Errorf("%q: %w", name, err)
		}
	}
	return s, nil
}

// version is looked at before anything else: what a field means in another
// version is not known.
func version(fields map[string]json.RawMessage) error {
	raw, given := fields["version"]
	if !given {
		return errors.New(`"version" is missing`)
	}
	switch n, err := count(raw); {
	case err != nil:
		return fmt.Errorf(`"version": %w`, err)
	case n != Version:
		return fmt.Errorf("%w: %d, want %d", ErrVersion, n, Version)
	}
	return nil
}

// object splits a body into the raw fields of its one JSON object. Unlike
// json.Unmarshal it tells "inFlight" from "inflight" and refuses a field that
// is given twice: of {"inFlight":3,"inFlight":0} nobody knows which one holds.
func object(body []byte) (map[string]json.RawMessage, error) {
	if len(body) > MaxBodyBytes {
		return nil, fmt.Errorf("%w: over %d bytes", ErrTooLarge, MaxBodyBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	fields := map[string]json.RawMessage{}
	for dec.More() {
		if err := field(dec, fields); err != nil {
			return nil, err
		}
	}
	if t, err := dec.Token(); err != nil || t != json.Delim('}') {
		return nil, errors.New("a JSON object that does not end")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return fields, nil
}

func field(dec *json.Decoder, fields map[string]json.RawMessage) error {
	t, err := dec.Token()
	if err != nil {
		return fmt.Errorf("broken JSON: %w", err)
	}
	name, ok := t.(string)
	if !ok {
		return errors.New("broken JSON: a field without a name")
	}
	if _, twice := fields[name]; twice {
		return fmt.Errorf("%.40q is given twice", name)
	}
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return fmt.Errorf("broken JSON: %w", err)
	}
	fields[name] = raw
	return nil
}

// optional reads null as the zero value: many serializers write it for what
// they do not know. Required fields do not have that way out.
func optional[T any](raw json.RawMessage, read func(json.RawMessage) (T, error)) (T, error) {
	if string(raw) == "null" {
		var zero T
		return zero, nil
	}
	return read(raw)
}

// count reads an integer in 0..MaxCount. 3.0 is taken as 3, since languages
// without an integer type write it so; an exponent is not, so that nothing
// underflows to 0.
func count(raw json.RawMessage) (int64, error) {
	whole, fraction, _ := strings.Cut(string(raw), ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	switch {
	case err != nil || strings.Trim(fraction, "0") != "":
		return 0, fmt.Errorf("%.40s is not an integer", raw)
	case n < 0 || n > MaxCount:
		return 0, fmt.Errorf("%.40s is not in 0..%d", raw, int64(MaxCount))
	}
	return n, nil
}

func age(raw json.RawMessage) (float64, error) {
	x, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.IsNaN(x) || x < 0 || x > maxAgeSeconds {
		return 0, fmt.Errorf("%.40s is not a number of seconds in 0..1e9", raw)
	}
	return x, nil
}

func boolean(raw json.RawMessage) (bool, error) {
	switch string(raw) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%.40s is neither true nor false", raw)
}
