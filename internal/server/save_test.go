package server

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// In these tests INFO number 1 is asked before the request, 2 and 3 stand
// round the BGSAVE, and from 4 on they are the looks at its child.

// endsAt has the child of the model end well at the n-th INFO.
func (f *fake) endsAt(n int) {
	f.onInfo = func(i int) {
		if i == n {
			f.saving, f.status, f.lastSave, f.sec = false, "ok", f.sec+1, f.sec+1
		}
	}
}

func TestSaveReturnsTheStateAtTheFork(t *testing.T) {
	f := newFake(t)
	f.extra = "rdb_saves:7\r\nrdb_last_cow_size:4096\r\n"
	f.endsAt(5)
	f.onDone = func(args []string) bool {
		if args[0] == "BGSAVE" {
			f.extra = "rdb_saves:8\r\nrdb_last_cow_size:8192\r\n"
		}
		if f.infos == 3 {
			f.keys = 99 // written after the fork
		}
		return false
	}
	got, err := f.connect().Save(t.Context(), SaveOptions{})
	want := Save{
		RequestedAt: time.Unix(1000, 0).UTC(), RunID: f.runID, SavedAt: 1001,
		Keyspace: []Keys{{DB: 0, Keys: 3}}, RDBSaves: 8, ForkCOW: 8192,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if !slices.Equal(f.log, []string{"PING", "TIME", "INFO", "TIME", "INFO", "BGSAVE", "INFO", "INFO", "INFO"}) {
		t.Errorf("commands: %v", f.log)
	}
}

// A save that came to nothing is an error at once, and never asked for again.
func TestSaveFailsWithoutASecondTry(t *testing.T) {
	misconf := func(f *fake) {
		f.onOther = func(args []string) string {
			if args[0] == "PING" && f.status == "err" {
				return "-MISCONF Redis is configured to save RDB snapshots, but …\r\n"
			}
			return ""
		}
	}
	at := func(n int, change func(f *fake)) func(*fake) {
		return func(f *fake) {
			f.onInfo = func(i int) {
				if i == n {
					change(f)
				}
			}
		}
	}
	answers := func(raw string) func(*fake) {
		return func(f *fake) { f.onSave = func() string { return raw } }
	}
	tests := []struct {
		name   string
		script []func(*fake)
		want   string
		is     error
	}{
		{"killed by FLUSHALL", []func(*fake){at(5, func(f *fake) { f.saving = false })},
			"redis save: snapshot aborted", ErrAborted},
		{"child failed", []func(*fake){at(5, func(f *fake) { f.saving, f.status = false, "err" })},
			"redis save: the saving process failed (disk full, not writable, or killed; the log of redis says which)", nil},
		{"child failed and writes stop", []func(*fake){misconf, at(5, func(f *fake) { f.saving, f.status = false, "err" })},
			"redis save: the saving process failed (disk full, not writable, or killed; the log of redis says which); redis now refuses writes (MISCONF)", nil},
		{"child failed and someone else's runs", []func(*fake){at(5, func(f *fake) { f.status = "err" })},
			"redis save: the saving process failed (disk full, not writable, or killed; the log of redis says which)", nil},
		{"restarted, and saved since", []func(*fake){at(5, func(f *fake) { f.runID, f.lastSave = "b", 2000 })},
			"redis save: the server was restarted", ErrRestarted},
		{"clock set back", []func(*fake){at(5, func(f *fake) { f.saving, f.lastSave = false, 800 })},
			"redis save: the server's clock went back during the save", nil},
		{"only scheduled", []func(*fake){answers("+Background saving scheduled\r\n")},
			`redis save: unexpected answer to BGSAVE: "Background saving scheduled"`, nil},
		{"fork refused", []func(*fake){answers("-ERR\r\n")},
			"redis save: the fork was refused (too little memory or too many processes; the log of redis says which)", nil},
		{"fork refused and writes stop", []func(*fake){misconf, func(f *fake) {
			f.onSave = func() string { f.status = "err"; return "-ERR\r\n" }
		}},
			"redis save: the fork was refused (too little memory or too many processes; the log of redis says which); redis now refuses writes (MISCONF)", nil},
		{"not permitted", []func(*fake){answers("-NOPERM this user has no permissions to run the 'bgsave' command\r\n")},
			"redis refused BGSAVE: NOPERM this user has no permissions to run the 'bgsave' command", nil},
		{"renamed", []func(*fake){answers("-ERR unknown command 'BGSAVE', with args beginning with: \r\n")},
			"redis has no command BGSAVE: renamed or disabled", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t)
			for _, script := range test.script {
				script(f)
			}
			_, err := f.connect().Save(t.Context(), SaveOptions{})
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%v is not %v", err, test.is)
			}
			if n := f.calls("BGSAVE"); n != 1 {
				t.Errorf("BGSAVE was sent %d times", n)
			}
		})
	}
}

// An earlier failure stands in INFO until a save is done: it is not ours.
func TestSaveAfterAnEarlierFailure(t *testing.T) {
	f := newFake(t)
	f.status = "err"
	f.endsAt(6)
	if _, err := f.connect().Save(t.Context(), SaveOptions{}); err != nil {
		t.Error(err)
	}
}

func TestSaveLosesItsConnection(t *testing.T) {
	f := newFake(t)
	f.onDone = func([]string) bool { return f.infos == 5 }
	_, err := f.connect().Save(t.Context(), SaveOptions{})
	var u *UnreachableError
	if !errors.As(err, &u) || u.Error() != "redis INFO: connection closed before an answer" {
		t.Errorf("got %v", err)
	}
	if f.calls("BGSAVE") != 1 || f.calls("PING") != 1 {
		t.Errorf("commands: %v", f.log)
	}
}

// A save that ends in the second of the request leaves the save time where it
// was: the request cannot be told from it.
func TestSaveInTheSecondOfAnother(t *testing.T) {
	f := newFake(t)
	f.onInfo = func(n int) {
		switch n {
		case 3: // someone's save ended between the look and the request
			f.lastSave = f.sec
		case 5: // what we began ends, in the next second
			f.saving, f.lastSave, f.sec = false, f.sec+1, f.sec+1
		case 6:
			f.sec++
		case 10:
			f.saving, f.lastSave = false, f.sec
		}
	}
	got, err := f.connect().Save(t.Context(), SaveOptions{})
	if err != nil || got.SavedAt != 1002 || f.calls("BGSAVE") != 2 {
		t.Errorf("got %+v, %v after %d BGSAVEs", got, err, f.calls("BGSAVE"))
	}
	if want := time.Unix(1002, 0); got.RequestedAt.After(want) || got.RequestedAt.Unix() < 1001 {
		t.Errorf("requested at %v", got.RequestedAt)
	}
}

// Right after a start the save time is that of the start.
func TestSaveWaitsForTheNextSecond(t *testing.T) {
	f := newFake(t)
	f.lastSave = f.sec
	f.onInfo = func(n int) {
		if n == 2 {
			f.sec++
		}
		if n == 7 {
			f.saving, f.lastSave = false, f.sec
		}
	}
	got, err := f.connect().Save(t.Context(), SaveOptions{})
	if err != nil || got.SavedAt != 1001 || f.calls("BGSAVE") != 1 {
		t.Errorf("got %+v, %v after %d BGSAVEs", got, err, f.calls("BGSAVE"))
	}
}

// The save time is taken from a clock that may be a few milliseconds behind
// TIME: a second that has just begun is not safe yet.
func TestSaveWaitsForTheSecondToBeSafe(t *testing.T) {
	f := newFake(t)
	f.lastSave, f.sec, f.usec = 1000, 1001, 1000
	asked := int64(0)
	f.onDone = func(args []string) bool {
		switch args[0] {
		case "TIME":
			f.usec += 15_000
		case "BGSAVE":
			asked = f.usec - 15_000
		}
		return false
	}
	begun := 0
	f.onInfo = func(n int) {
		if asked > 0 && begun == 0 {
			begun = n
		}
		if begun > 0 && n > begun+1 {
			f.saving, f.lastSave = false, 1001
		}
	}
	if _, err := f.connect().Save(t.Context(), SaveOptions{}); err != nil || asked < clockLag.Microseconds() {
		t.Errorf("asked at %d µs of the second: %v", asked, err)
	}
}

func TestSaveByAClockThatIsBehind(t *testing.T) {
	f := newFake(t)
	f.lastSave = f.sec + 3600
	_, err := f.connect().Save(t.Context(), SaveOptions{})
	if err == nil || err.Error() != "redis save: the server's clock is 3600 s behind its last save" || f.calls("BGSAVE") != 0 {
		t.Errorf("got %v after %d BGSAVEs", err, f.calls("BGSAVE"))
	}
}

// Counts that changed round the BGSAVE are not those of the fork.
func TestSaveWhoseWriteWasTorn(t *testing.T) {
	f := newFake(t)
	f.onInfo = func(n int) {
		switch n {
		case 3:
			f.keys++
		case 4:
			f.saving, f.lastSave, f.sec = false, f.sec, f.sec+1
		case 8:
			f.saving, f.lastSave = false, f.sec
		}
	}
	got, err := f.connect().Save(t.Context(), SaveOptions{})
	if err != nil || len(got.Keyspace) != 1 || got.Keyspace[0].Keys != 4 || f.calls("BGSAVE") != 2 {
		t.Errorf("got %+v, %v after %d BGSAVEs", got, err, f.calls("BGSAVE"))
	}
}

func TestSaveGivesUpBeginningSaves(t *testing.T) {
	f := newFake(t)
	f.onInfo = func(n int) {
		f.keys++
		f.saving = false
	}
	_, err := f.connect().Save(t.Context(), SaveOptions{})
	if err == nil || err.Error() != "redis save: none of the saves that were begun could be told from others'" || f.calls("BGSAVE") != mostForks {
		t.Errorf("got %v after %d BGSAVEs", err, f.calls("BGSAVE"))
	}
}

// A child that was there before the request is waited for, and its save never
// accepted.
func TestSaveWaitsForOthers(t *testing.T) {
	tests := []struct {
		name   string
		begin  func(*fake)
		end    func(*fake)
		notice string
	}{
		{"save", func(f *fake) { f.saving = true }, func(f *fake) { f.saving, f.lastSave = false, 999 }, "another save"},
		{"AOF rewrite", func(f *fake) { f.rewriting = true }, func(f *fake) { f.rewriting = false }, "another AOF rewrite"},
		{"module", func(f *fake) { f.extra = "module_fork_in_progress:1\r\n" }, func(f *fake) { f.extra = "" }, "another module's fork"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t)
			test.begin(f)
			f.onInfo = func(n int) {
				switch n {
				case 4:
					test.end(f)
				case 8:
					f.saving, f.lastSave = false, f.sec
				}
			}
			var told []string
			got, err := f.connect().Save(t.Context(), SaveOptions{Waiting: func(what string) { told = append(told, what) }})
			if err != nil || got.SavedAt != 1000 || f.calls("BGSAVE") != 1 {
				t.Errorf("got %+v, %v after %d BGSAVEs", got, err, f.calls("BGSAVE"))
			}
			if !slices.Equal(told, []string{test.notice}) {
				t.Errorf("told %q", told)
			}
		})
	}
}

// INFO does not show every kind of child.
func TestSaveRefusedForAnUnseenChild(t *testing.T) {
	f := newFake(t)
	f.onSave = func() string {
		if f.infos < 8 {
			return "-ERR Another child process is active (AOF?): can't BGSAVE right now. …\r\n"
		}
		f.saving = true
		return "+Background saving started\r\n"
	}
	f.endsAt(12)
	var told []string
	_, err := f.connect().Save(t.Context(), SaveOptions{Waiting: func(what string) { told = append(told, what) }})
	if err != nil || !slices.Equal(told, []string{"another child process"}) {
		t.Errorf("got %v, told %q", err, told)
	}
}

func TestSavePatienceEnds(t *testing.T) {
	f := newFake(t)
	f.saving = true
	_, err := f.connect().Save(t.Context(), SaveOptions{Patience: 50 * time.Millisecond})
	var busy *BusyError
	if !errors.As(err, &busy) || busy.What != "another save" || f.calls("BGSAVE") != 0 {
		t.Errorf("got %v after %d BGSAVEs", err, f.calls("BGSAVE"))
	}
}

func TestSaveWhileLoading(t *testing.T) {
	for _, extra := range []string{"loading:1\r\n", "async_loading:1\r\n"} {
		f := newFake(t)
		f.extra = extra
		_, err := f.connect().Save(t.Context(), SaveOptions{})
		var loading *LoadingError
		if !errors.As(err, &loading) || f.calls("BGSAVE") != 0 {
			t.Errorf("%q: got %v after %d BGSAVEs", extra, err, f.calls("BGSAVE"))
		}
	}
}

func TestSaveTellsProgress(t *testing.T) {
	f := newFake(t)
	f.extra = "current_save_keys_processed:5\r\ncurrent_save_keys_total:20\r\n"
	f.endsAt(6)
	var got [][2]int64
	_, err := f.connect().Save(t.Context(), SaveOptions{Progress: func(done, total int64) { got = append(got, [2]int64{done, total}) }})
	if err != nil || !slices.Equal(got, [][2]int64{{5, 20}, {5, 20}}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestSaveEndsWithItsContext(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.onInfo = func(n int) {
		if n == 5 {
			cancel()
		}
	}
	if _, err := f.connect().Save(ctx, SaveOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSettleSecond(t *testing.T) {
	f := newFake(t)
	s := f.connect()
	f.set(func() { f.onDone = func([]string) bool { f.sec++; return false } })
	if err := s.SettleSecond(t.Context(), Save{SavedAt: 1001}); err != nil {
		t.Error(err)
	}
	if n := f.calls("TIME"); n != 3 || f.sec != 1003 {
		t.Errorf("TIME was asked %d times, it is now %d", n, f.sec)
	}
	if err := s.SettleSecond(t.Context(), Save{SavedAt: 9999}); err == nil {
		t.Error("a clock far behind is waited for")
	}
}

// Only the count of saves begun tells before the second is over.
func TestUnrivalled(t *testing.T) {
	f := newFake(t)
	saved := Save{RunID: f.runID, SavedAt: f.lastSave, RDBSaves: 4}
	s := f.connect()
	for extra, want := range map[string]bool{"rdb_saves:4\r\n": true, "rdb_saves:5\r\n": false, "": false} {
		f.set(func() { f.extra = extra })
		if ok, err := s.Unrivalled(t.Context(), saved); ok != want || err != nil {
			t.Errorf("%q: %v, %v", extra, ok, err)
		}
	}
	f.set(func() { f.extra = "rdb_saves:4\r\n"; f.lastSave++ })
	if ok, err := s.Unrivalled(t.Context(), saved); ok || err != nil {
		t.Errorf("another save has ended: %v, %v", ok, err)
	}
	f.set(func() { f.runID = strings.Repeat("b", 40) })
	if ok, err := s.Unrivalled(t.Context(), saved); ok || !errors.Is(err, ErrRestarted) {
		t.Errorf("restarted: %v, %v", ok, err)
	}
}

func TestStillSaved(t *testing.T) {
	f := newFake(t)
	s := f.connect()
	saved := Save{RunID: f.runID, SavedAt: 900}
	if ok, err := s.StillSaved(t.Context(), saved); !ok || err != nil {
		t.Errorf("unchanged: %v, %v", ok, err)
	}
	f.set(func() { f.lastSave = 901 })
	if ok, err := s.StillSaved(t.Context(), saved); ok || err != nil {
		t.Errorf("another save: %v, %v", ok, err)
	}
	f.set(func() { f.runID, f.lastSave = "b", 900 })
	if ok, err := s.StillSaved(t.Context(), saved); ok || !errors.Is(err, ErrRestarted) {
		t.Errorf("restarted: %v, %v", ok, err)
	}
}
