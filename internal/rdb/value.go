package rdb

import (
	"encoding/binary"
	"fmt"
)

// shape is how the bytes of a value are laid out, as far as is needed to find
// its end. Many value types share one.
type shape uint8

const (
	shapeUnknown     shape = iota
	shapeString            // one string: also every value packed into one blob
	shapeStrings           // a count, then strings
	shapePairs             // a count, then pairs of strings
	shapeScoresText        // a count, then strings with a score in decimal digits
	shapeScores            // a count, then strings with a score of 8 bytes
	shapeNodes             // a count, then strings, each after a container code
	shapeStream1           // see stream
	shapeStream2           // 1, with more about the stream and its groups
	shapeStream3           // 2, with more about the consumers
	shapeModule            // the module's id, then fields that name their own kind
	shapeFieldTTL          // a count, then pairs of strings after a TTL
	shapeFieldTTLMin       // the same, after the first TTL of all
	shapePackedTTL         // the first TTL of all, then one blob
	shapeFieldExpiry       // Valkey: a count, then pairs of strings before a time
)

// shapesOf gives the shape of each value type. Redis and Valkey parted ways
// after type 21.
func shapesOf(magic string) [256]shape {
	shapes := [256]shape{
		0:  shapeString,
		1:  shapeStrings,    // list
		2:  shapeStrings,    // set
		3:  shapeScoresText, // sorted set
		4:  shapePairs,      // hash
		5:  shapeScores,     // sorted set
		7:  shapeModule,
		9:  shapeString,  // hash, zipmap
		10: shapeString,  // list, ziplist
		11: shapeString,  // set, intset
		12: shapeString,  // sorted set, ziplist
		13: shapeString,  // hash, ziplist
		14: shapeStrings, // list of ziplists
		15: shapeStream1,
		16: shapeString, // hash, listpack
		17: shapeString, // sorted set, listpack
		18: shapeNodes,  // list of listpacks
		19: shapeStream2,
		20: shapeString, // set, listpack
		21: shapeStream3,
	}
	if magic == magicValkey {
		shapes[22] = shapeFieldExpiry
		return shapes
	}
	shapes[22] = shapeFieldTTL // 22 and 23: release candidates of 7.4
	shapes[23] = shapeString
	shapes[24] = shapeFieldTTLMin
	shapes[25] = shapePackedTTL
	return shapes
}

// value skips one value.
func (w *walker) value(s shape) error {
	switch s {
	case shapeString:
		return w.skipString()
	case shapeStrings:
		return w.repeat(w.skipString)
	case shapePairs:
		return w.repeat(w.pair)
	case shapeScoresText:
		return w.repeat(w.scoreText)
	case shapeScores:
		return w.repeat(func() error { return w.skipStringAnd(8) })
	case shapeNodes:
		return w.repeat(w.node)
	case shapeStream1, shapeStream2, shapeStream3:
		return w.stream(s)
	case shapeModule:
		return w.module()
	case shapeFieldTTLMin:
		if err := w.skip(8); err != nil {
			return err
		}
		return w.repeat(w.ttlPair)
	case shapeFieldTTL:
		return w.repeat(w.ttlPair)
	case shapePackedTTL:
		if err := w.skip(8); err != nil {
			return err
		}
		return w.skipString()
	case shapeFieldExpiry:
		return w.repeat(w.pairExpiry)
	}
	return fmt.Errorf("value shape %d without a rule", s)
}

// Codes of strings that are not stored as plain bytes.
const (
	encodedInt8  = 0
	encodedInt16 = 1
	encodedInt32 = 2
	encodedLZF   = 3
)

// lengthOrCode reads a length, or, where a string is expected, the code that
// can stand in its place.
func (w *walker) lengthOrCode() (n uint64, code bool, err error) {
	b, err := w.byte()
	if err != nil {
		return 0, false, err
	}
	switch b >> 6 {
	case 0:
		return uint64(b), false, nil
	case 1:
		low, err := w.byte()
		return uint64(b&0x3f)<<8 | uint64(low), false, err
	case 3:
		return uint64(b & 0x3f), true, nil
	}
	switch b {
	case 0x80:
		v, err := w.bytes(4)
		if err != nil {
			return 0, false, err
		}
		return uint64(binary.BigEndian.Uint32(v)), false, nil
	case 0x81:
		v, err := w.bytes(8)
		if err != nil {
			return 0, false, err
		}
		return binary.BigEndian.Uint64(v), false, nil
	}
	return 0, false, w.unknown("length code", uint64(b), w.offset()-1)
}

// length reads a length where no string is expected.
func (w *walker) length() (uint64, error) {
	at := w.offset()
	n, code, err := w.lengthOrCode()
	if err == nil && code {
		err = &FormatError{at, "a string where a number must be"}
	}
	return n, err
}

// lengths skips n lengths.
func (w *walker) lengths(n int) error {
	for range n {
		if _, err := w.length(); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) skipString() error {
	if w.pos < w.end { // short, and all of it at hand: nearly always
		if n := int(w.buf[w.pos]); n < 64 && n < w.end-w.pos {
			w.pos += 1 + n
			return nil
		}
	}
	at := w.offset()
	n, code, err := w.lengthOrCode()
	if err != nil {
		return err
	}
	if !code {
		return w.skip(n)
	}
	switch n {
	case encodedInt8:
		return w.skip(1)
	case encodedInt16:
		return w.skip(2)
	case encodedInt32:
		return w.skip(4)
	case encodedLZF:
		packed, err := w.length()
		if err != nil {
			return err
		}
		if err := w.lengths(1); err != nil { // the length unpacked
			return err
		}
		return w.skip(packed)
	}
	return w.unknown("string code", n, at)
}

func (w *walker) skipStringAnd(n uint64) error {
	if err := w.skipString(); err != nil {
		return err
	}
	return w.skip(n)
}

// repeat reads a count and calls element so many times. Each element takes at
// least a byte, so a count that is far too high ends with the file.
func (w *walker) repeat(element func() error) error {
	n, err := w.length()
	for ; n > 0 && err == nil; n-- {
		err = element()
	}
	return err
}

func (w *walker) pair() error {
	if err := w.skipString(); err != nil {
		return err
	}
	return w.skipString()
}

func (w *walker) ttlPair() error {
	if _, err := w.length(); err != nil {
		return err
	}
	return w.pair()
}

func (w *walker) pairExpiry() error {
	if err := w.pair(); err != nil {
		return err
	}
	return w.skip(8)
}

// scoreText skips a member and its score, which is a length and digits. The
// three highest lengths stand for not-a-number and the infinities.
func (w *walker) scoreText() error {
	if err := w.skipString(); err != nil {
		return err
	}
	n, err := w.byte()
	if err != nil || n >= 253 {
		return err
	}
	return w.skip(uint64(n))
}

// node skips one node of a list: a single element or a listpack of them.
func (w *walker) node() error {
	const plain, packed = 1, 2
	at := w.offset()
	container, err := w.length()
	if err != nil {
		return err
	}
	if container != plain && container != packed {
		return w.unknown("list container", container, at)
	}
	return w.skipString()
}

func (w *walker) unknown(what string, code uint64, at int64) error {
	return &unknownError{fmt.Sprintf("%s %d at offset %d", what, code, at)}
}
