package snapshot

import (
	"bytes"
	"io"
)

// unpack reads a payload file to its end.
func unpack(stored []byte, f File) ([]byte, error) {
	r, err := NewReader(bytes.NewReader(stored), f)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
