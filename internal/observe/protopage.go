package observe

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Numbers of the fields of io.prometheus.client.MetricFamily.
const (
	fieldName   protowire.Number = 1
	fieldMetric protowire.Number = 4
	// maxSeriesBytes bounds one series in the protobuf format.
	maxSeriesBytes = 64 << 10
)

// readProtobuf reads a page of MetricFamilies, each with its length before it.
// Only the histogram's is decoded, series by series: expfmt's decoder believes
// any length that a page tells it, and a message of empty parts takes many
// times its size in memory.
func (s series) readProtobuf(page io.Reader, total *total) error {
	r := bufio.NewReader(page)
	message := takeBuffer()
	defer giveBack(message)
	for {
		family, err := nextMessage(r, message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.readFamily(family, total); err != nil {
			return err
		}
	}
}

// nextMessage reads the next one into a buffer, from which what it returns is
// until the next call. It returns io.EOF only where a page ends between two
// messages.
func nextMessage(r *bufio.Reader, into *bytes.Buffer) ([]byte, error) {
	if _, err := r.Peek(1); err != nil {
		return nil, err
	}
	size, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, fmt.Errorf("the length of a metric: %v", err) //nolint:errorlint // an EOF in here is not the end of the page
	}
	if size > maxPageBytes {
		return nil, fmt.Errorf("a metric is told to have %d bytes", size)
	}
	// Not allocated at once: the length is only what the page says.
	into.Reset()
	read, err := into.ReadFrom(io.LimitReader(r, int64(size)))
	if err != nil {
		return nil, err
	}
	if uint64(read) < size {
		return nil, errors.New("the page breaks off within a metric")
	}
	return into.Bytes(), nil
}

func (s series) readFamily(family []byte, total *total) error {
	var name string
	err := eachField(family, fieldName, func(value []byte) error {
		name = string(value[:min(len(value), len(s.histogram)+1)])
		return nil
	})
	if err != nil || name != s.histogram {
		return err
	}
	n := 0
	return eachField(family, fieldMetric, func(encoded []byte) error {
		if n++; n > maxHistogramLines {
			return fmt.Errorf("the histogram has over %d series", maxHistogramLines)
		}
		return s.readSeries(encoded, total)
	})
}

func (s series) readSeries(encoded []byte, total *total) error {
	if len(encoded) > maxSeriesBytes {
		return fmt.Errorf("a series has %d bytes, at most %d are read", len(encoded), maxSeriesBytes)
	}
	var m dto.Metric
	if err := proto.Unmarshal(encoded, &m); err != nil {
		return fmt.Errorf("a series cannot be read: %w", err)
	}
	return s.add(&m, total)
}

// eachField calls with the value of each field of that number that has a length.
func eachField(message []byte, number protowire.Number, call func([]byte) error) error {
	for len(message) > 0 {
		n, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return fmt.Errorf("a metric cannot be read: %w", protowire.ParseError(tag))
		}
		size := protowire.ConsumeFieldValue(n, kind, message[tag:])
		if size < 0 {
			return fmt.Errorf("a metric cannot be read: %w", protowire.ParseError(size))
		}
		if n == number && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(message[tag:])
			if err := call(value); err != nil {
				return err
			}
		}
		message = message[tag+size:]
	}
	return nil
}
