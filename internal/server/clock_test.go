package server

import "testing"

// A server takes the seconds that it writes down from the kernel's coarse
// clock, which is some milliseconds behind what it answers to TIME: just after
// the turn of a second, a save that was asked for in it still bears the last.
func TestSaveJustAfterTheTurnOfASecond(t *testing.T) {
	f := newFake(t)
	f.sec, f.usec = 1002, 3000
	f.onInfo = func(n int) {
		if f.saving && n > 3 {
			f.saving, f.lastSave = false, 1001
		}
	}
	s := f.connect()
	saved, err := s.Save(t.Context(), SaveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if saved.RequestedAt.Unix() > 1001 {
		t.Errorf("requested at %v, and the dump may say 1001", saved.RequestedAt.Unix())
	}
	asked := 0
	f.set(func() {
		f.onDone = func(args []string) bool {
			if args[0] == "TIME" {
				asked++
				f.usec += 60_000
			}
			return false
		}
	})
	if err := s.SettleSecond(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	if asked < 2 {
		t.Error("another save may still end in the second of the save, and that was not waited for")
	}
}
