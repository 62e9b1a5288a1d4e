package status

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// page is the HTML at a path.
func page(t *testing.T, v View, path string) string {
	t.Helper()
	answer := get(t, serving(t, v), path)
	if answer.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// rowsOf are the rows of snapshots on a page: all that is between <tr and </tr>.
func rowsOf(text string) []string {
	return regexp.MustCompile(`(?s)<tr data-id=.*?</tr>`).FindAllString(text, -1)
}

// attribute is the value of one in the first tag that has it.
func attribute(text, name string) (string, bool) {
	m := regexp.MustCompile(`[\s]` + name + `="([^"]*)"`).FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	return html.UnescapeString(m[1]), true
}

// differences says where a row is not what the snapshot is.
func differences(text string, e Snapshot) (all []string) {
	want := map[string]string{
		"data-id": e.ID, "data-method": e.Method, "data-snapshot-state": e.State, "data-accepted": strconv.FormatBool(e.Accepted),
		"data-good": strconv.FormatBool(e.Good), "data-verified": e.Verified, "data-pinned": strconv.FormatBool(e.Pinned),
		"data-size-bytes": strconv.FormatInt(e.SizeBytes, 10), "data-stored-bytes": strconv.FormatInt(e.StoredBytes, 10),
		"datetime": e.PointInTime.UTC().Format(time.RFC3339Nano),
	}
	if e.Keys != nil {
		want["data-keys"] = strconv.FormatInt(*e.Keys, 10)
	} else if got, ok := attribute(text, "data-keys"); ok {
		all = append(all, "keys that are not known are "+got)
	}
	for name, value := range want {
		if got, _ := attribute(text, name); got != value {
			all = append(all, fmt.Sprintf("%s is %q, want %q", name, got, value))
		}
	}
	if !e.VerifiedAt.IsZero() && !strings.Contains(text, `class="verified-at" datetime="`+e.VerifiedAt.UTC().Format(time.RFC3339Nano)+`"`) {
		all = append(all, "the time of the proof is missing")
	}
	for _, tag := range e.Tags {
		if !strings.Contains(text, `data-tag="`+tag+`"`) {
			all = append(all, "no tag "+tag)
		}
	}
	return all
}

// Each snapshot's numbers are on the page, for machines to the last digit.
func TestPageShowsEachSnapshotAsItIs(t *testing.T) {
	v := full(t)
	text := page(t, v, "/source/sessions")
	rows := rowsOf(text)
	if len(rows) != len(v.Sources[0].Snapshots) {
		t.Fatalf("%d rows of %d snapshots", len(rows), len(v.Sources[0].Snapshots))
	}
	for i, e := range v.Sources[0].Snapshots {
		for _, d := range differences(rows[i], e) {
			t.Errorf("%s: %s", e.ID, d)
		}
		plain := html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(rows[i], ""))
		if want := "redisbak restore --repo '/backups/all redis' --id " + e.ID + " --start"; !strings.Contains(plain, want) {
			t.Errorf("%s: no command %s in %s", e.ID, want, plain)
		}
	}
	for name, want := range map[string]string{"data-good": "28", "data-suspect": "1", "data-missed-runs": "2", "data-overdue": "false", "data-state": "ok", "data-stored-bytes": "6383826735"} {
		head := text[strings.Index(text, `<section class="card source"`):]
		if got, _ := attribute(head, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got, _ := attribute(text, "data-free-bytes"); got != "73400320512" {
		t.Errorf("free bytes %q", got)
	}
}

// Many snapshots make many pages, and no page without an end.
func TestPageIsBounded(t *testing.T) {
	v := full(t)
	v.Sources = v.Sources[1:2]
	v.Sources[0].Snapshots = history(1201, now(), time.Minute)
	text := page(t, v, "/")
	if n := len(rowsOf(text)); n != 50 {
		t.Errorf("%d rows on the page of all, want 50", n)
	}
	if !strings.Contains(text, `<a href="source/queue">All 1,201`+"\u00a0"+`snapshots of queue</a>`) {
		t.Error("no link to the others")
	}
	seen := map[string]bool{}
	for path := "/source/queue"; path != ""; {
		text := page(t, v, path)
		for _, row := range rowsOf(text) {
			id, _ := attribute(row, "data-id")
			seen[id] = true
		}
		next := regexp.MustCompile(`<a href="(\?from=\d+)">Older</a>`).FindStringSubmatch(text)
		if path = ""; next != nil {
			path = "/source/queue" + next[1]
		}
	}
	if len(seen) != 1201 {
		t.Errorf("%d snapshots on all pages, want 1201", len(seen))
	}
	for range 99 {
		s := v.Sources[0]
		s.Name = fmt.Sprintf("queue-%d", len(v.Sources))
		v.Sources = append(v.Sources, s)
	}
	if n := len(rowsOf(page(t, v, "/"))); n != rowsOfAll {
		t.Errorf("%d rows of 100 sources, want %d", n, rowsOfAll)
	}
	if n := len(rowsOf(page(t, v, "/source/queue?from=99999999"))); n != 0 {
		t.Errorf("%d rows after the last", n)
	}
}

// Where there is nothing yet, the page says so, and what to do or expect.
func TestEmptyPagesReadWell(t *testing.T) {
	for want, v := range map[string]View{
		"No sources yet":               {Now: now()},
		"Nothing is backed up yet":     {Now: now()},
		"free space unknown":           {Now: now()},
		"The first run is due in 12":   {Now: now(), Sources: full(t).Sources[3:4]},
		"and none is planned":          {Now: now(), Sources: []Source{{Name: "a", State: Never}}},
		"no run has brought one":       {Now: now(), Sources: full(t).Sources[4:5]},
		"the first one is being taken": {Now: now(), Sources: []Source{{Name: "a", State: Running, RunningSince: now()}}},
	} {
		if text := page(t, v, "/"); !strings.Contains(text, want) || strings.Contains(text, "0001-01-01") {
			t.Errorf("%q is not on the page, or a time that is none is: %s", want, text[strings.Index(text, "<main"):])
		}
	}
}

// Whatever a name or an error holds, it is text.
func TestPageEscapesWhatOthersWrote(t *testing.T) {
	v := full(t)
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	s := &v.Sources[0]
	s.Name, s.Container, s.Schedule, s.LastAttempt.Error, s.LastAttempt.Result = evil, evil, evil, evil, evil
	s.Snapshots[0].Tags, s.Snapshots[0].ID, s.Snapshots[0].VerifyReason, s.Snapshots[0].Method = []string{evil}, evil, evil, evil
	v.Repository, v.Version, v.Problems = evil, evil, []Problem{{evil, evil, evil}}
	text := page(t, v, "/")
	for _, forbidden := range []string{"<script", "<img", `""`} {
		if strings.Contains(strings.ReplaceAll(text, `data-version=""`, ""), forbidden) {
			t.Errorf("%s in the page", forbidden)
		}
	}
}

// The page needs nothing but itself, and its policy lets it have what it needs.
func TestPageNeedsNothingElse(t *testing.T) {
	answer := get(t, serving(t, full(t)), "/")
	text := answer.Body.String()
	for _, forbidden := range []string{"<script", "style=", "@import", "url(", " src=", "<link rel=\"stylesheet\""} {
		if strings.Contains(text, forbidden) {
			t.Errorf("%q in the page", forbidden)
		}
	}
	for _, m := range regexp.MustCompile(`(?:https?:)?//[a-z0-9.]+`).FindAllString(text, -1) {
		if m != "http://www.w3.org" { // the name of SVG's language, in the icon
			t.Errorf("the page names %s", m)
		}
	}
	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(text)
	sum := sha256.Sum256([]byte(style[1]))
	if want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(answer.Header().Get("Content-Security-Policy"), want) {
		t.Errorf("policy %q does not allow the page's own style, %s", answer.Header().Get("Content-Security-Policy"), want)
	}
}

// Who cannot see the page can read it: a language, one heading above all,
// landmarks, tables whose heads say what they are heads of, charts in words,
// signs that are not only colours, and no name given twice.
func TestPageCanBeReadByAll(t *testing.T) {
	for _, path := range []string{"/", "/source/sessions"} {
		text := page(t, full(t), path)
		for _, want := range []string{`<html lang="en">`, `<main id="main">`, `<header class="top">`, `<footer>`, `name="viewport"`, "</title>\n<link"} {
			if strings.Count(text, want) != 1 {
				t.Errorf("%s: %d × %s", path, strings.Count(text, want), want)
			}
		}
		if n := strings.Count(text, "<h1"); n != 1 {
			t.Errorf("%s: %d headings above all", path, n)
		}
		for pattern, why := range map[string]string{
			`<th(?:>| [^>]*>)`:             `scope="`,
			`<svg [^>]*>`:                  `aria-`,
			`<div class="scroll"[^>]*>`:    `tabindex="0"`,
			`<span class="badge[^>]*><svg`: `class="badge `,
		} {
			found := regexp.MustCompile(pattern).FindAllString(text, -1)
			if len(found) == 0 {
				t.Errorf("%s: no %s", path, pattern)
			}
			for _, tag := range found {
				if !strings.Contains(tag, why) {
					t.Errorf("%s: %s lacks %s", path, tag, why)
				}
			}
		}
		if strings.Count(text, `<span class="badge`) != len(regexp.MustCompile(`<span class="badge [a-z]+"><svg class="icon"[^>]*><use href="#icon-[a-z]+"/></svg>[a-z ]+</span>`).FindAllString(text, -1)) {
			t.Errorf("%s: a badge without a sign or a word", path)
		}
		ids := map[string]bool{}
		for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(text, -1) {
			if ids[m[1]] {
				t.Errorf("%s: id %s twice", path, m[1])
			}
			ids[m[1]] = true
		}
		for _, m := range regexp.MustCompile(`(?:aria-labelledby="|href="#)([^"]*)"`).FindAllStringSubmatch(text, -1) {
			if !ids[m[1]] {
				t.Errorf("%s: nothing is called %s", path, m[1])
			}
		}
	}
}

// The headline says the worst.
func TestHeadlineIsTheWorst(t *testing.T) {
	v := full(t)
	for _, tt := range []struct {
		v    View
		want string
	}{
		{v, "1 of 5 sources overdue"}, {View{Sources: v.Sources[2:]}, "2 of 3 sources need a look"},
		{quiet(t), "The source is backed up as planned"}, {View{Sources: v.Sources[:1], Problems: v.Problems}, "The repository needs a look"},
		{View{Sources: []Source{{State: OK}, {State: Running}}}, "All 2 sources are backed up as planned"},
		{View{Sources: []Source{{State: OK}, {State: Never}}}, "1 of 2 sources never backed up"},
	} {
		if got := strings.ReplaceAll(headline(tt.v), "\u00a0", " "); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// Each state has a word and a sign of its own; what is wrong is never calm.
func TestEachStateHasItsOwnSign(t *testing.T) {
	tones := map[State]string{OK: "ok", Running: "run", Overdue: "bad", Failed: "bad", Suspect: "warn", Never: "idle", Unknown: "bad"}
	signs := map[string]State{}
	for _, state := range states() {
		b := stateBadge(state)
		if b.Tone != tones[state] || b.Word == "" {
			t.Errorf("%s: %+v", state, b)
		}
		if other, taken := signs[b.Icon]; taken {
			t.Errorf("%s has the sign of %s", state, other)
		}
		signs[b.Icon] = state
	}
	if len(signs) != len(tones) {
		t.Errorf("%d signs of %d states", len(signs), len(tones))
	}
}
