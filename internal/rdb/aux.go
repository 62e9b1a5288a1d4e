package rdb

import (
	"bytes"
	"encoding/binary"
	"io"
	"strconv"
	"time"
)

// Bounds on the fields that are kept. What servers write is far below them,
// but for the Lua scripts that old ones stored this way.
const (
	maxAux      = 64
	maxAuxBytes = 1 << 10
)

// aux reads one of the file's own fields: a name and a value.
func (w *walker) aux() error {
	name, nameKept, err := w.text()
	if err != nil {
		return err
	}
	value, valueKept, err := w.text()
	if err != nil || !nameKept || !valueKept {
		return err
	}
	switch name {
	case "ctime":
		if sec, err := strconv.ParseInt(value, 10, 64); err == nil && sec > 0 && sec < 1<<40 {
			w.report.CTime = time.Unix(sec, 0).UTC()
			if !w.fixedAt {
				w.expiredAtMS = sec * 1000
			}
		}
	case "used-mem":
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 {
			w.report.UsedMemory = n
		}
	}
	if len(w.report.Aux) == maxAux {
		return nil
	}
	if w.report.Aux == nil {
		w.report.Aux = map[string]string{}
	}
	w.report.Aux[name] = value
	return nil
}

// peekAux reads the fields at the head of a file of unknown version, as far as
// they are laid out as ever. It consumes nothing.
func (w *walker) peekAux() {
	head := walker{source: w.source, report: w.report}
	head.err = io.EOF
	head.buf = bytes.Clone(w.buf[:w.end])
	for head.pos < head.end && head.buf[head.pos] == opAux {
		head.pos++
		if err := head.aux(); err != nil {
			break
		}
		w.report = head.report
	}
}

// text reads a string, unless it is long: then it is skipped and not kept.
func (w *walker) text() (s string, kept bool, err error) {
	at := w.offset()
	n, code, err := w.lengthOrCode()
	if err != nil {
		return "", false, err
	}
	if !code {
		if n > maxAuxBytes {
			return "", false, w.skip(n)
		}
		b, err := w.bytes(int(n))
		return string(b), true, err
	}
	switch n {
	case encodedInt8, encodedInt16, encodedInt32:
		b, err := w.bytes(1 << n)
		if err != nil {
			return "", false, err
		}
		return strconv.FormatInt(signed(b), 10), true, nil
	case encodedLZF:
		return w.packedText()
	}
	return "", false, w.unknown("string code", n, at)
}

func signed(b []byte) int64 {
	switch len(b) {
	case 1:
		return int64(int8(b[0]))
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(b)))
	}
	return int64(int32(binary.LittleEndian.Uint32(b)))
}

func (w *walker) packedText() (s string, kept bool, err error) {
	packed, err := w.length()
	if err != nil {
		return "", false, err
	}
	size, err := w.length()
	if err != nil {
		return "", false, err
	}
	if packed > maxAuxBytes || size > maxAuxBytes {
		return "", false, w.skip(packed)
	}
	b, err := w.bytes(int(packed))
	if err != nil {
		return "", false, err
	}
	text, ok := unpack(b, int(size))
	return string(text), ok, nil
}

// unpack undoes LZF: a control byte below 32 is followed by so many bytes and
// one more; any other is a length and a distance back into the output.
func unpack(in []byte, size int) (out []byte, ok bool) {
	out = make([]byte, 0, size)
	for len(in) > 0 {
		control := int(in[0])
		in = in[1:]
		if control < 32 {
			n := control + 1
			if n > len(in) || len(out)+n > size {
				return nil, false
			}
			out, in = append(out, in[:n]...), in[n:]
			continue
		}
		n := control >> 5
		if n == 7 {
			if len(in) == 0 {
				return nil, false
			}
			n, in = n+int(in[0]), in[1:]
		}
		if len(in) == 0 {
			return nil, false
		}
		from := len(out) - (control&31)<<8 - int(in[0]) - 1
		n, in = n+2, in[1:]
		if from < 0 || len(out)+n > size {
			return nil, false
		}
		for range n { // may overlap what it writes
			out = append(out, out[from])
			from++
		}
	}
	return out, len(out) == size
}
