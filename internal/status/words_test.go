package status

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestWordsForPeople(t *testing.T) {
	at := now()
	for _, tt := range []struct{ got, want string }{
		{bytesText(0), "0 bytes"}, {bytesText(1), "1 byte"}, {bytesText(999), "999 bytes"}, {bytesText(1000), "1.00 kB"},
		{bytesText(9_995), "10.0 kB"}, {bytesText(99_949), "99.9 kB"}, {bytesText(99_950), "100 kB"},
		{bytesText(999_499), "999 kB"}, {bytesText(999_500), "1.00 MB"}, {bytesText(1_234_567_890), "1.23 GB"},
		{bytesText(1<<63 - 1), "9.22 EB"},
		{countText(0), "0"}, {countText(999), "999"}, {countText(1000), "1,000"}, {countText(1_234_567), "1,234,567"}, {countText(-1000), "-1,000"},
		{durationText(-time.Second), "0 ms"}, {durationText(420 * time.Millisecond), "420 ms"}, {durationText(1_500 * time.Millisecond), "1.5 s"},
		{durationText(59*time.Second + 400*time.Millisecond), "59.4 s"}, {durationText(59*time.Second + 600*time.Millisecond), "1 min"},
		{durationText(61 * time.Second), "1 min 1 s"}, {durationText(time.Hour - time.Second), "1 h"},
		{durationText(10*time.Hour + 49*time.Minute + 28*time.Second), "10 h 49 min"}, {durationText(day - time.Minute), "23 h 59 min"},
		{durationText(day), "1 d"}, {durationText(34*time.Hour + 40*time.Minute), "1 d 11 h"},
		{agoText(at, at.Add(-59*time.Second)), "just now"}, {agoText(at, at.Add(30*time.Second)), "just now"},
		{agoText(at, at.Add(-61*time.Second)), "1 min ago"}, {agoText(at, at.Add(3*time.Hour)), "in 3 h"},
		{plural(1, "snapshot"), "1 snapshot"}, {plural(2, "snapshot"), "2 snapshots"},
	} {
		if got := strings.ReplaceAll(tt.got, "\u00a0", " "); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// A shell reads the command as it was meant, whatever the repository is called.
func TestRestoreCommandIsQuotedForAShell(t *testing.T) {
	for _, dir := range []string{"/backups/redis", "/my backups", "/it's", `/a"b\c$HOME`, "/a\nb", "~/x", "/a;rm -rf b", "", "/ü", "*", "/a=b"} {
		words := restoreCommand(dir, "20260208T031502Z-7k3f")
		out, err := exec.Command("sh", "-c", `printf '%s|' `+strings.Join(words[1:], " ")).Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := "restore|--repo|" + dir + "|--id|20260208T031502Z-7k3f|--start|"; string(out) != want {
			t.Errorf("%q: a shell reads %q, want %q", dir, out, want)
		}
	}
	if got := strings.Join(restoreCommand("/backups/redis", "20260208T031502Z-7k3f"), " "); got != "redisbak restore --repo /backups/redis --id 20260208T031502Z-7k3f --start" {
		t.Errorf("%s: quotes where none are needed", got)
	}
}
