package aof

import (
	"bytes"
	"fmt"
	"strconv"
)

const (
	// maxCount is the highest number of arguments that servers can hold.
	maxCount = 1<<31 - 1

	// maxLength is beyond any value that a server can hold: 512 MB by default,
	// and proto-max-bulk-len can raise that.
	maxLength = 1 << 40

	// maxAnnotation is what a server reads of a line, newline included. It
	// takes the rest of a longer one for the next line.
	maxAnnotation = 1023
)

// Options say which server's files a Walker follows.
type Options struct {
	// Annotations: lines between commands that begin with '#'. Redis 7.0 and
	// later skip them, earlier servers refuse them.
	Annotations bool
}

// Walker follows the commands of an append-only file as its bytes are written
// to it.
//
// It takes the framing as every server writes it, and as redis-check-aof wants
// it: numbers in digits alone, lines that end with \r\n. A server that loads a
// file is less exact. It reads numbers by atoi, and does not look at the two
// bytes after a value, so that it goes on in a file that is damaged there and
// stumbles later, or never.
//
// Transactions it takes as a loading server does, not as redis-check-aof, which
// refuses EXEC without MULTI and MULTI within MULTI. Files of healthy servers
// have both. Redis before 7.0 leaves an EXEC alone where a transaction held
// BGREWRITEAOF; loaded, it does nothing. And servers that load a file cut
// within a transaction may leave the MULTI there and append after it; loaded,
// all up to the next EXEC is one transaction, a further MULTI in it does
// nothing, and without an EXEC none of it is kept. That is why Whole then stays
// before the first MULTI, however much follows.
type Walker struct {
	annotations bool
	err         error // the first one
	size        int64

	cut  place // where the file may be cut
	next place // where it may be cut next, as far as it is known

	state state
	num   int64 // the number that is being read
	begun bool  // a digit of it was read
	args  int64 // of the command, not read to their end
	left  int64 // bytes of the value, not read

	named bool    // the command's name was read
	name  [5]byte // if it is not longer: MULTI is the longest that counts
	multi bool    // a transaction is open

	line    [24]byte // what the annotation begins with: enough for a time stamp
	lineLen int      // of all of it, as far as it was read
}

// place is one where a file may be cut.
type place struct {
	offset, commands, timestamp int64
}

// state is what the next byte belongs to.
type state uint8

const (
	atItem       state = iota // the first byte of a command or an annotation
	inAnnotation              // the rest of an annotation
	inCount                   // a number of arguments, up to its \r
	atCountLF
	atLength // the '$' before a length
	inLength // a length, up to its \r
	atLengthLF
	inValue // the bytes of an argument
	atValueCR
	atValueLF
)

// NewWalker returns a Walker for the start of a file, or for what follows the
// RDB file that is its head.
func NewWalker(o Options) *Walker { return &Walker{annotations: o.Annotations} }

// Size is how many bytes were taken.
func (w *Walker) Size() int64 { return w.size }

// Whole is where the file may be cut: the offset after the last whole command
// that is outside of a transaction. An annotation after it is not counted in.
func (w *Walker) Whole() int64 { return w.cut.offset }

// Commands is how many commands there are up to Whole, MULTI and EXEC among
// them.
func (w *Walker) Commands() int64 { return w.cut.commands }

// Timestamp is the last time stamp before Whole, in seconds of Unix time, or 0
// if there is none.
func (w *Walker) Timestamp() int64 { return w.cut.timestamp }

// Write takes the next bytes of the file. It stops with a *FormatError at the
// first byte that cannot be there, and takes no more from then on.
func (w *Walker) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	for n := 0; n < len(p); {
		taken, fault := w.take(p[n:])
		n += taken
		w.size += int64(taken)
		if fault != "" {
			w.err = &FormatError{w.size, fault}
			return n, w.err
		}
	}
	return len(p), nil
}

// take consumes what the state says, as far as p goes. The byte after what was
// taken is the wrong one if a fault is returned.
func (w *Walker) take(p []byte) (n int, fault string) {
	if n = w.takeLine(p); n > 0 {
		return n, ""
	}
	switch w.state {
	case atItem:
		return w.takeItem(p[0])
	case inAnnotation:
		return w.takeAnnotation(p)
	case inCount:
		return w.takeNumber(p, maxCount)
	case inLength:
		return w.takeNumber(p, maxLength)
	case inValue:
		return w.takeValue(p), ""
	}
	if want := w.delimiter(); p[0] != want {
		return 0, fmt.Sprintf("%q, want %q", p[0], want)
	}
	w.advance()
	return 1, ""
}

// takeLine takes a number with all that belongs to it in one go, if it is all in
// p and as it mostly is. Otherwise it takes nothing, and the states go through
// it byte by byte. They would do alone, at a third of the speed.
func (w *Walker) takeLine(p []byte) int {
	begin := w.state == atItem && p[0] == '*'
	if !begin && (w.state != atLength || p[0] != '$') {
		return 0
	}
	num, n := shortLine(p)
	if num == 0 {
		return 0
	}
	w.num = num
	if begin {
		w.beginArgs()
	} else {
		w.beginValue()
	}
	return n
}

// shortLine reads a line of one sign and a number of up to nine digits, and how
// long it is. The number is 0 if it is any other line, or not all there.
func shortLine(p []byte) (num int64, n int) {
	for i := 1; i < min(len(p)-1, 11); i++ {
		c := p[i] - '0'
		if c > 9 {
			if p[1] == '0' || p[i] != '\r' || p[i+1] != '\n' {
				return 0, 0
			}
			return num, i + 2
		}
		num = num*10 + int64(c)
	}
	return 0, 0
}

// delimiter is the one byte that the state allows.
func (w *Walker) delimiter() byte {
	switch w.state {
	case atLength:
		return '$'
	case atValueCR:
		return '\r'
	}
	return '\n'
}

// advance passes a delimiter.
func (w *Walker) advance() {
	switch w.state {
	case atCountLF:
		w.beginArgs()
	case atLength:
		w.beginNumber(inLength)
	case atLengthLF:
		w.beginValue()
	case atValueCR:
		w.state = atValueLF
	case atValueLF:
		w.endValue(w.size + 1)
	}
}

func (w *Walker) takeItem(c byte) (n int, fault string) {
	switch {
	case c == '*':
		w.beginNumber(inCount)
	case c == '#' && w.annotations:
		w.line[0], w.lineLen = c, 1
		w.state = inAnnotation
	case c == '#':
		return 0, "an annotation, which servers before Redis 7.0 refuse"
	default:
		return 0, fmt.Sprintf("%q, where a command begins with '*'", c)
	}
	return 1, ""
}

func (w *Walker) beginNumber(s state) { w.state, w.num, w.begun = s, 0, false }

func (w *Walker) takeNumber(p []byte, limit int64) (n int, fault string) {
	for i, c := range p {
		switch {
		case c == '\r' && w.begun:
			if w.state == inCount && w.num == 0 {
				return i, "a command of no arguments"
			}
			w.state++ // to the \n
			return i + 1, ""
		case c < '0' || c > '9':
			return i, fmt.Sprintf("%q in a number", c)
		case w.begun && w.num == 0:
			return i, "a number that begins with 0"
		}
		w.num, w.begun = w.num*10+int64(c-'0'), true
		if w.num > limit {
			return i, fmt.Sprintf("a number above %d", limit)
		}
	}
	return len(p), ""
}

func (w *Walker) beginArgs() { w.state, w.args, w.named = atLength, w.num, false }

func (w *Walker) beginValue() { w.state, w.left = inValue, w.num }

// takeValue passes over an argument, whatever is in it, and what ends it if that
// is at hand. Only the first of a command is looked at, if it is short.
func (w *Walker) takeValue(p []byte) int {
	n := int(min(w.left, int64(len(p))))
	if !w.named && w.num <= int64(len(w.name)) {
		copy(w.name[w.num-w.left:], p[:n]) // num is still its length
	}
	if w.left -= int64(n); w.left > 0 {
		return n
	}
	w.state = atValueCR
	if len(p) > n+1 && p[n] == '\r' && p[n+1] == '\n' {
		n += 2
		w.endValue(w.size + int64(n))
	}
	return n
}

// endValue is told where the argument, with all that belongs to it, ended.
func (w *Walker) endValue(end int64) {
	if !w.named {
		w.named = true
		w.transaction()
	}
	w.state = atLength
	if w.args--; w.args == 0 {
		w.endCommand(end)
	}
}

// transaction opens and closes a transaction by the command's name alone, as a
// loading server does: it does not count the arguments.
func (w *Walker) transaction() {
	if w.num > int64(len(w.name)) {
		return
	}
	switch name := string(w.name[:w.num]); {
	case isWord(name, "multi"):
		w.multi = true
	case isWord(name, "exec"):
		w.multi = false
	}
}

func (w *Walker) endCommand(end int64) {
	w.state = atItem
	w.next.commands++
	if !w.multi {
		w.next.offset = end
		w.cut = w.next
	}
}

func (w *Walker) takeAnnotation(p []byte) (n int, fault string) {
	room := min(len(p), maxAnnotation-w.lineLen)
	if room == 0 {
		return 0, fmt.Sprintf("an annotation of more than %d bytes", maxAnnotation)
	}
	n = bytes.IndexByte(p[:room], '\n') + 1
	ended := n > 0
	if !ended {
		n = room
	}
	if w.lineLen < len(w.line) {
		copy(w.line[w.lineLen:], p[:n])
	}
	w.lineLen += n
	if ended {
		w.endAnnotation()
	}
	return n, ""
}

// endAnnotation takes the time from a time stamp. What does not look like the
// ones that servers write says nothing, and is skipped as any annotation is.
func (w *Walker) endAnnotation() {
	w.state = atItem
	if w.lineLen > len(w.line) {
		return
	}
	text := bytes.TrimPrefix(w.line[:w.lineLen], []byte("#TS:"))
	text = bytes.TrimSuffix(text, []byte("\r\n"))
	if sec, err := strconv.ParseUint(string(text), 10, 63); err == nil {
		w.next.timestamp = int64(sec)
	}
}
