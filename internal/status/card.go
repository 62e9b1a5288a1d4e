package status

import (
	"fmt"
	"strconv"
	"time"
)

// moment is an instant as the page shows it.
type moment struct {
	Known          bool
	ISO, Text, Ago string
}

func momentOf(v View, t time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	return moment{
		Known: true, ISO: t.UTC().Format(time.RFC3339Nano),
		Text: t.In(v.zone()).Format("2006-01-02 15:04"), Ago: agoText(v.Now, t),
	}
}

// figure is a number as the page shows it, and as a machine reads it.
type figure struct {
	Known     bool
	Raw, Text string
}

func sizeFigure(n int64) figure {
	return figure{true, strconv.FormatInt(n, 10), bytesText(n)}
}

func keysFigure(n *int64) figure {
	if n == nil {
		return figure{Text: "unknown"}
	}
	return figure{true, strconv.FormatInt(*n, 10), countText(*n)}
}

// badge is a word with a colour and a sign: the colour alone says nothing.
type badge struct{ Word, Tone, Icon string }

func stateBadge(s State) badge {
	switch s {
	case OK:
		return badge{"ok", "ok", "check"}
	case Running:
		return badge{"running", "run", "run"}
	case Overdue:
		return badge{"overdue", "bad", "late"}
	case Failed:
		return badge{"failed", "bad", "cross"}
	case Suspect:
		return badge{"suspect", "warn", "warn"}
	case Never:
		return badge{"never backed up", "idle", "none"}
	case Unknown:
		return badge{"unknown container", "bad", "ask"}
	}
	return badge{string(s), "idle", "ask"}
}

func verdictBadge(verified string) badge {
	switch verified {
	case VerifyPassed:
		return badge{"passed", "ok", "check"}
	case VerifyFailed:
		return badge{"failed", "bad", "cross"}
	}
	return badge{"never", "idle", "none"}
}

func snapshotBadge(e Snapshot) badge {
	switch {
	case e.Accepted:
		return badge{"accepted", "ok", "check"}
	case e.State == string(Suspect):
		return badge{"suspect", "warn", "warn"}
	}
	return badge{e.State, "ok", "check"}
}

type link struct{ Href, Text string }

// card is one source on the page.
type card struct {
	Name, Anchor, Jump  string
	Single              bool
	Container, Schedule string
	State               State
	Overdue             bool
	Missed              int64
	Good, Suspect       int
	Keys, Size, Stored  figure
	Badges              []badge
	Notes               []note
	Facts               []fact
	Recoverable         moment
	Next, Proven        moment
	Restore             []string
	Charts              []chart
	Rows                []row
	NoRows              string
	Pages               []link
}

type note struct{ Tone, Icon, Text string }

// row is one snapshot in the history.
type row struct {
	ID, Method, State, Verified string
	Accepted, Good, Pinned      bool
	Keys, Size, Stored, Took    figure
	TookOf                      string
	At, VerifiedAt              moment
	StateBadge, VerifiedBadge   badge
	StateReason, VerifyReason   string
	Tags                        []string
	Restore                     []string
}

// cardOf shows n snapshots, from one on.
func cardOf(v View, s Source, from, n int) card {
	c := card{
		Name: s.Name, Anchor: "source-" + s.Name, Jump: "#source-" + s.Name, Container: s.Container, Schedule: s.Schedule,
		State: s.State, Overdue: s.Overdue, Missed: s.MissedRuns, Good: s.good(), Suspect: s.suspect(), Stored: sizeFigure(s.stored()),
		Keys: figure{Text: "–"}, Size: figure{Text: "–"},
		Badges: []badge{stateBadge(s.State)}, Notes: notesOf(v, s), Facts: factsOf(v, s), Charts: charts(s, v.zone()),
		Recoverable: momentOf(v, s.recoverablePoint()), Next: momentOf(v, s.Next), Proven: momentOf(v, s.lastVerified()),
		NoRows: emptyText(v, s),
	}
	if s.Overdue && s.State != Overdue {
		c.Badges = append(c.Badges, stateBadge(Overdue))
	}
	if e, ok := s.newestGood(); ok {
		c.Keys, c.Size = keysFigure(e.Keys), sizeFigure(e.SizeBytes)
		c.Restore = restoreCommand(v.Repository, e.ID)
	}
	for _, e := range s.Snapshots[from:min(from+n, len(s.Snapshots))] {
		c.Rows = append(c.Rows, rowOf(v, e))
	}
	return c
}

func rowOf(v View, e Snapshot) row {
	r := row{
		ID: e.ID, Method: e.Method, State: e.State, Verified: e.Verified, Accepted: e.Accepted, Good: e.Good, Pinned: e.Pinned,
		Keys: keysFigure(e.Keys), Size: sizeFigure(e.SizeBytes), Stored: sizeFigure(e.StoredBytes),
		At: momentOf(v, e.PointInTime), VerifiedAt: momentOf(v, e.VerifiedAt),
		StateBadge: snapshotBadge(e), VerifiedBadge: verdictBadge(e.Verified),
		StateReason: e.StateReason, VerifyReason: e.VerifyReason, Tags: e.Tags, Restore: restoreCommand(v.Repository, e.ID),
	}
	if took, ok := e.restoreTime(); ok {
		fill, _ := e.phase(PhaseFill)
		load, _ := e.phase(PhaseLoad)
		r.Took = figure{true, strconv.FormatFloat(took.Seconds(), 'f', -1, 64), durationText(took)}
		r.TookOf = fmt.Sprintf("%s to fill a volume, %s to load it", durationText(fill), durationText(load))
	}
	return r
}

// notesOf is what a source has to say in a sentence.
func notesOf(v View, s Source) (all []note) {
	if s.Overdue {
		what := "Overdue"
		if !s.OverdueSince.IsZero() {
			what += fmt.Sprintf(" since %s, for %s", momentOf(v, s.OverdueSince).Text, durationText(v.Now.Sub(s.OverdueSince)))
		}
		all = append(all, note{"bad", "late", what + ": a good snapshot should be there by now."})
	}
	if s.State == Unknown {
		all = append(all, note{"bad", "ask", fmt.Sprintf("There is no container %q: nothing can be backed up until it is back.", s.Container)})
	}
	if a := s.LastAttempt; a.Error != "" {
		n := note{"warn", "warn", a.Error}
		if a.Result != Success {
			n = note{"bad", "cross", "The last run ended with: " + a.Error}
		}
		all = append(all, n)
	}
	if !s.RunningSince.IsZero() {
		all = append(all, note{"run", "run", "A run is under way since " + momentOf(v, s.RunningSince).Text + ", for " + durationText(v.Now.Sub(s.RunningSince)) + "."})
	}
	return all
}

// emptyText is said in place of a history.
func emptyText(v View, s Source) string {
	switch {
	case !s.RunningSince.IsZero():
		return "No snapshot yet; the first one is being taken."
	case !s.LastAttempt.At.IsZero():
		return "No snapshot yet: no run has brought one."
	case !s.Next.IsZero():
		return "No snapshot yet. The first run is due " + agoText(v.Now, s.Next) + ", at " + momentOf(v, s.Next).Text + "."
	}
	return "No snapshot yet, and none is planned."
}
