package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/redisbak/redisbak/internal/config"
)

// talk is what a run says to people, on stderr. It is safe for concurrent use.
type talk struct {
	state *talkState
	about string // of a daemon: the source that a line is about
}

// of is the same talk about one source.
func (t talk) of(source string) talk { t.about = source; return t }

type talkState struct {
	mu      sync.Mutex
	w       io.Writer
	quiet   bool
	verbose bool
	color   bool
	bars    bool
	phase   string
	bar     *progressbar.ProgressBar

	// Of a daemon's log.
	now        func() time.Time // each line begins with the time; nil: none does
	json       bool             // each line is a JSON object
	errorsOnly bool             // no warnings either
}

// log makes the talk a daemon's log: in lines with a time, or in JSON objects.
func (t talk) log(c config.Log, now func() time.Time) {
	s := t.state
	s.now, s.json, s.bars = now, c.Format == "json", false
	switch c.Level {
	case "debug":
		s.verbose = true
	case "warn":
		s.quiet = true
	case "error":
		s.quiet, s.errorsOnly = true, true
	}
}

func newTalk(w io.Writer, getenv func(string) string, quiet, verbose, noProgress bool) talk {
	terminal := isTerminal(w)
	return talk{state: &talkState{
		w: w, quiet: quiet, verbose: verbose,
		color: terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb",
		bars:  terminal && !quiet && !noProgress && getenv("TERM") != "dumb",
	}}
}

// The colours of the words before a message, as SGR parameters.
const (
	red    = "31"
	yellow = "33"
	cyan   = "36"
)

func (t talk) line(prefix, color, text string) {
	if t.state == nil {
		return
	}
	t.state.mu.Lock()
	defer t.state.mu.Unlock()
	t.state.endBar()
	if t.state.json {
		t.object(prefix, text)
		return
	}
	if t.about != "" {
		text = t.about + ": " + text
	}
	if t.state.now != nil {
		fmt.Fprintf(t.state.w, "%s ", t.state.now().UTC().Format(time.RFC3339))
	}
	if prefix != "" {
		if t.state.color {
			prefix = "\x1b[" + color + "m" + prefix + "\x1b[0m"
		}
		prefix += " "
	}
	fmt.Fprintf(t.state.w, "%s%s\n", prefix, oneLine(text))
}

// object writes a line as a JSON object.
func (t talk) object(prefix, text string) {
	level := strings.TrimSuffix(prefix, ":")
	if level == "" {
		level = "info"
	}
	// It has strings only: there is nothing that could not be encoded.
	_ = json.NewEncoder(t.state.w).Encode(struct {
		Time    time.Time `json:"time"`
		Level   string    `json:"level"`
		Source  string    `json:"source,omitempty"`
		Message string    `json:"message"`
	}{t.state.now().UTC(), level, t.about, oneLine(text)})
}

// oneLine keeps a message on its line: joined errors come on several.
func oneLine(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ") }

func (t talk) warn(text string) {
	if t.state == nil || !t.state.errorsOnly {
		t.line("warning:", yellow, text)
	}
}
func (t talk) fail(text string) { t.line("error:", red, text) }
func (t talk) hint(text string) { t.line("hint:", cyan, text) }

// info says what happens, unless --quiet.
func (t talk) info(format string, args ...any) {
	if t.state != nil && !t.state.quiet {
		t.line("", "", fmt.Sprintf(format, args...))
	}
}

// detail says more, with --verbose only.
func (t talk) detail(format string, args ...any) {
	if t.state != nil && t.state.verbose && !t.state.quiet {
		t.line("", "", fmt.Sprintf(format, args...))
	}
}

// barThrottle bounds how often a bar is drawn.
const barThrottle = 100 * time.Millisecond

// progress draws one bar a phase, on a terminal.
func (t talk) progress(phase string, done, total int64) {
	s := t.state
	if s == nil || !s.bars {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if phase != s.phase || s.bar == nil {
		s.endBar()
		s.phase = phase
		s.bar = newBar(s.w, phase, total, s.color)
		// At its first moment it has no rate yet. A bar that cannot be drawn is
		// no reason to stop.
		_ = s.bar.RenderBlank()
		return
	}
	if total > 0 {
		s.bar.ChangeMax64(total)
	}
	_ = s.bar.Set64(done)
}

func newBar(w io.Writer, phase string, total int64, color bool) *progressbar.ProgressBar {
	if total <= 0 {
		total = -1
	}
	options := []progressbar.Option{
		progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(fmt.Sprintf("%-8s", phase)),
		progressbar.OptionSetWidth(24), progressbar.OptionThrottle(barThrottle),
		progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(),
		progressbar.OptionEnableColorCodes(color),
	}
	if !countsKeys(phase) {
		options = append(options, progressbar.OptionShowBytes(true))
	} else {
		options = append(options, progressbar.OptionShowCount())
	}
	return progressbar.NewOptions64(total, options...)
}

// countsKeys: a server that saves or rewrites tells keys, all else is bytes.
func countsKeys(phase string) bool { return phase == "save" || phase == "rewrite" }

func (s *talkState) endBar() {
	if s.bar != nil {
		_ = s.bar.Clear()
		s.bar, s.phase = nil, ""
	}
}

// done takes the last bar off the terminal.
func (t talk) done() {
	if t.state != nil {
		t.state.mu.Lock()
		defer t.state.mu.Unlock()
		t.state.endBar()
	}
}
