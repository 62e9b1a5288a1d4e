package backup

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

// past is one predecessor, by keys and bytes.
func past(keys, bytes int64, change ...func(*repo.Entry)) repo.Entry {
	e := repo.Entry{Manifest: &snapshot.Manifest{
		Method: snapshot.MethodRDB, State: snapshot.Good,
		Keyspace: []snapshot.Keys{{DB: 0, Keys: keys}}, Files: []snapshot.File{{Size: bytes}},
	}}
	for _, c := range change {
		c(&e)
	}
	return e
}

func suspect(e *repo.Entry)  { e.Manifest.State = snapshot.Suspect }
func accepted(e *repo.Entry) { e.Manifest.State = snapshot.Suspect; e.Marks.Accepted = true }
func failed(e *repo.Entry)   { e.Proof = &snapshot.Proof{Result: snapshot.Failed} }
func uncounted(e *repo.Entry) {
	e.Manifest.Keyspace = nil
}

func of(keys, bytes int64) Measure {
	return Measure{Method: snapshot.MethodRDB, Keys: &keys, Bytes: bytes}
}

func TestFault9_JudgeSuspectsADropBelowHalf(t *testing.T) {
	seven := []repo.Entry{past(100, 1000), past(110, 1100), past(90, 900), past(100, 1000), past(100, 1000), past(105, 1000), past(95, 1000)}
	for _, c := range []struct {
		name    string
		measure Measure
		history []repo.Entry
		state   snapshot.State
		reason  string
	}{
		{"no predecessor", of(0, 89), nil, snapshot.Good, ""},
		{"half of the keys is enough", of(50, 1000), seven, snapshot.Good, ""},
		{"less than half of the keys", of(49, 1000), seven, snapshot.Suspect, "49 keys"},
		{"less than half of the bytes", of(100, 499), seven, snapshot.Suspect, "499 bytes"},
		{"empty after one good one", of(0, 89), []repo.Entry{past(100, 1000)}, snapshot.Suspect, "0 keys"},
		{"growth", of(1000, 100000), seven, snapshot.Good, ""},
		{"suspect ones do not count", of(10, 100), []repo.Entry{past(10, 100, suspect), past(100, 1000)}, snapshot.Suspect, "10 keys"},
		{"failed ones do not count", of(10, 100), []repo.Entry{past(10, 100, failed), past(100, 1000)}, snapshot.Suspect, "10 keys"},
		{"an accepted one is the new baseline", of(10, 100), []repo.Entry{past(10, 100, accepted), past(100, 1000), past(100, 1000)}, snapshot.Good, ""},
		{"what came after the accepted one counts", of(10, 100), []repo.Entry{past(40, 400), past(40, 400), past(10, 100, accepted)}, snapshot.Suspect, "10 keys"},
		{"the median, not the newest", of(60, 600), []repo.Entry{past(500, 5000), past(100, 1000), past(100, 1000)}, snapshot.Good, ""},
		{"keys unknown: bytes decide", Measure{Method: snapshot.MethodRDB, Bytes: 10}, seven, snapshot.Suspect, "10 bytes"},
		{"predecessors without counts", of(1, 1000), []repo.Entry{past(100, 1000, uncounted)}, snapshot.Good, ""},
		{"bytes of another method are not compared", Measure{Method: "aof", Bytes: 10}, seven, snapshot.Good, ""},
		{"only the last seven", of(10, 100), append(repeat(past(10, 100), 7), repeat(past(1000, 10000), 20)...), snapshot.Good, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Judge(c.measure, c.history)
			if got.State != c.state || !strings.Contains(got.Reason, c.reason) || (c.reason == "") != (got.Reason == "") {
				t.Errorf("%+v, want %s with %q", got, c.state, c.reason)
			}
		})
	}
}

func repeat(e repo.Entry, n int) []repo.Entry {
	out := make([]repo.Entry, n)
	for i := range out {
		out[i] = e
	}
	return out
}

func TestAnEmptyServerWithoutHistoryIsGoodAndSaidSo(t *testing.T) {
	got := Judge(of(0, 89), []repo.Entry{past(0, 89)})
	if got.State != snapshot.Good || len(got.Warnings) != 1 {
		t.Errorf("%+v, want good with a warning", got)
	}
}

// Whatever the history, the order of its good ones within the window does not
// matter, and what is at least the largest of them is never suspect.
func TestJudgeNeverSuspectsGrowth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.Int64Range(0, 1000), 0, 20).Draw(t, "keys")
		var history []repo.Entry
		most := int64(0)
		for _, n := range sizes {
			history = append(history, past(n, 100+n*10))
			most = max(most, n)
		}
		if got := Judge(of(most, 100+most*10), history); got.State != snapshot.Good {
			t.Fatalf("%d keys after %v: %+v", most, sizes, got)
		}
		if most > 0 && len(sizes) > 0 {
			all := repeat(past(most, 100+most*10), 7)
			if got := Judge(of((most-1)/2, 1), all); got.State != snapshot.Suspect {
				t.Fatalf("%d keys after seven times %d: %+v", (most-1)/2, most, got)
			}
		}
	})
}

func ExampleJudge() {
	keys := int64(3)
	v := Judge(Measure{Method: snapshot.MethodRDB, Keys: &keys, Bytes: 1000}, []repo.Entry{past(100, 1000)})
	fmt.Println(v.State)
	// Output: suspect
}
