package rdb

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Opcodes: what a byte between two keys means. Lower values are value types.
const (
	opSlotImport = 243 // Valkey 9; Redis 8.6 gave it another meaning
	opSlotInfo   = 244
	opFunction   = 245
	opModuleAux  = 247
	opIdle       = 248
	opFreq       = 249
	opAux        = 250
	opResizeDB   = 251
	opExpireMS   = 252
	opExpire     = 253
	opSelectDB   = 254
	opEOF        = 255

	lowestOpcode = opSlotImport
)

const (
	magicRedis  = "REDIS"
	magicValkey = "VALKEY"
	headerSize  = 9 // the magic and the version in digits

	newestRedis  = 12 // Redis 7.4 to 8.4
	newestValkey = 80 // Valkey 9: the only version under its magic

	// Files older than this end with opEOF.
	firstWithChecksum = 5
)

// Bounds on what is remembered of a file, so that no file can fill the memory.
const (
	maxDatabases = 1 << 16
	maxModules   = 1 << 10
	maxDB        = 1<<31 - 1
)

// walker follows the structure of a file and counts.
type walker struct {
	source
	report Summary
	shapes [256]shape

	db      uint64
	current int // index of db in report.Keyspace, -1 before its first key
	indices map[uint64]int
	modules map[uint64]struct{}

	expires     bool // the next key has the time to live below
	expireMS    int64
	expiredAtMS int64 // keys whose time is not after this have expired; 0: none has
	fixedAt     bool  // expiredAtMS is the caller's, not the file's
}

func newWalker(r io.Reader) *walker {
	return &walker{
		source:  newSource(r),
		current: -1,
		indices: map[uint64]int{},
		modules: map[uint64]struct{}{},
	}
}

// header reads the magic and the version.
func (w *walker) header() error {
	w.more()
	start := string(w.buf[:min(headerSize, w.end)])
	if start == "" {
		if !w.atEnd() {
			return w.failure()
		}
		return &FormatError{0, "the file is empty"}
	}
	magic := magicRedis
	if start[0] == magicValkey[0] {
		magic = magicValkey
	}
	if head := start[:min(len(magic), len(start))]; head != magic[:len(head)] {
		return &FormatError{0, "not an RDB file: it does not begin with " + magicRedis + " or " + magicValkey}
	}
	if err := w.need(headerSize); err != nil {
		return err
	}
	digits := start[len(magic):]
	version, err := strconv.Atoi(digits)
	if err != nil || version < 1 || strings.Trim(digits, "0123456789") != "" {
		return &FormatError{int64(len(magic)), fmt.Sprintf("not an RDB file: version %q", digits)}
	}
	w.pos = headerSize
	w.report.Magic, w.report.Version = magic, version
	w.shapes = shapesOf(magic)
	return nil
}

// known is an *unknownError when the file's version is not one that this
// package can walk.
func (w *walker) known() error {
	known := w.report.Version <= newestRedis
	if w.report.Magic == magicValkey {
		known = w.report.Version == newestValkey
	}
	if known {
		return nil
	}
	w.peekAux()
	return &unknownError{fmt.Sprintf("RDB version %d", w.report.Version)}
}

// walk reads everything up to and with opEOF.
func (w *walker) walk() error {
	for {
		op, err := w.byte()
		if err != nil {
			return err
		}
		if op == opEOF {
			return nil
		}
		if op >= lowestOpcode {
			err = w.opcode(op)
		} else {
			err = w.key(op)
		}
		if err != nil {
			return err
		}
	}
}

func (w *walker) opcode(op byte) error {
	switch op {
	case opExpireMS:
		b, err := w.bytes(8)
		if err != nil {
			return err
		}
		w.expire(int64(binary.LittleEndian.Uint64(b)))
		return nil
	case opExpire:
		b, err := w.bytes(4)
		if err != nil {
			return err
		}
		w.expire(1000 * int64(int32(binary.LittleEndian.Uint32(b))))
		return nil
	case opSelectDB:
		return w.selectDB()
	case opResizeDB:
		return w.lengths(2) // keys, expires
	case opSlotInfo:
		return w.lengths(3) // slot, keys, expires
	case opIdle:
		return w.lengths(1)
	case opFreq:
		return w.skip(1)
	case opAux:
		return w.aux()
	case opModuleAux:
		return w.moduleAux()
	case opFunction:
		w.report.Functions++
		return w.skipString()
	case opSlotImport:
		if w.report.Magic == magicValkey {
			return w.slotImport()
		}
	}
	return w.unknown("opcode", uint64(op), w.offset()-1)
}

func (w *walker) expire(ms int64) {
	w.expires, w.expireMS = true, ms
}

func (w *walker) selectDB() error {
	at := w.offset()
	db, err := w.length()
	if err != nil {
		return err
	}
	if db > maxDB {
		return &FormatError{at, fmt.Sprintf("database number %d", db)}
	}
	w.db, w.current = db, -1
	if i, ok := w.indices[db]; ok {
		w.current = i
	}
	return nil
}

// slotImport skips the note of a slot migration under way: its name, and the
// first and last slot of each range.
func (w *walker) slotImport() error {
	if err := w.skipString(); err != nil {
		return err
	}
	return w.repeat(func() error { return w.lengths(2) })
}

// key skips one key with its value and counts it.
func (w *walker) key(kind byte) error {
	if w.shapes[kind] == shapeUnknown {
		return w.unknown("type", uint64(kind), w.offset()-1)
	}
	if err := w.skipString(); err != nil {
		return err
	}
	if err := w.value(w.shapes[kind]); err != nil {
		return err
	}
	if w.current < 0 {
		if len(w.report.Keyspace) == maxDatabases {
			return &unknownError{fmt.Sprintf("more than %d databases", maxDatabases)}
		}
		w.current = len(w.report.Keyspace)
		w.indices[w.db] = w.current
		w.report.Keyspace = append(w.report.Keyspace, Keys{DB: int(w.db)})
	}
	count := &w.report.Keyspace[w.current]
	count.Keys++
	if w.expires {
		count.Expires++
		if w.expiredAtMS > 0 && w.expireMS <= w.expiredAtMS {
			count.Expired++
		}
		w.expires = false
	}
	return nil
}

func (w *walker) footer() error {
	disabled, err := w.source.footer(w.report.Version >= firstWithChecksum)
	w.report.ChecksumDisabled = disabled
	return err
}

func (w *walker) drain() error {
	disabled, err := w.source.drain()
	w.report.ChecksumDisabled = disabled
	return err
}

// summary is the report, tidied, of a file that was read to its end.
func (w *walker) summary() Summary {
	s := w.report
	s.Size = w.base + int64(w.end)
	if !s.Counted {
		s.Keyspace, s.Functions = nil, 0
	}
	slices.SortFunc(s.Keyspace, func(a, b Keys) int { return cmp.Compare(a.DB, b.DB) })
	for id := range maps.Keys(w.modules) {
		s.Modules = append(s.Modules, moduleName(id))
	}
	slices.Sort(s.Modules)
	s.Modules = slices.Compact(s.Modules)
	return s
}
