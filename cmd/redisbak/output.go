package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

// snapshotJSON is a snapshot in every document of --json. docs/json.md is its
// contract: fields are only ever added.
type snapshotJSON struct {
	ID            snapshot.ID `json:"id"`
	Source        string      `json:"source"`
	Method        string      `json:"method"`
	State         string      `json:"state"`
	Accepted      bool        `json:"accepted"`
	PointInTime   time.Time   `json:"point_in_time"`
	SizeBytes     int64       `json:"size_bytes"`
	StoredBytes   int64       `json:"stored_bytes"`
	Keys          *int64      `json:"keys"`
	ServerVersion string      `json:"server_version"`
	Verified      string      `json:"verified"`
	VerifiedAt    *time.Time  `json:"verified_at"`
	Pinned        bool        `json:"pinned"`
	Tags          []string    `json:"tags"`
}

func toJSON(e repo.Entry) snapshotJSON {
	m := e.Manifest
	out := snapshotJSON{
		ID: m.ID, Source: m.Source.Name, Method: m.Method, State: string(e.State()), Accepted: e.Marks.Accepted,
		PointInTime: m.PointInTime, SizeBytes: e.Bytes(), StoredBytes: e.StoredBytes(), Keys: e.Keys(),
		ServerVersion: m.Server.Version, Verified: e.Verified(), Pinned: e.Marks.Pinned, Tags: e.Marks.Tags,
	}
	if out.Tags == nil {
		out.Tags = []string{}
	}
	if e.Proof != nil && out.Verified != repo.Never {
		out.VerifiedAt = &e.Proof.At
	}
	return out
}

func toJSONs(entries []repo.Entry) []snapshotJSON {
	out := make([]snapshotJSON, len(entries))
	for i, e := range entries {
		out[i] = toJSON(e)
	}
	return out
}

type problemJSON struct {
	ID      string `json:"id"`
	File    string `json:"file"`
	Problem string `json:"problem"`
}

func problemsJSON(problems []repo.Problem) []problemJSON {
	out := make([]problemJSON, len(problems))
	for i, p := range problems {
		out[i] = problemJSON(p)
	}
	return out
}

// document prints the one document of --json.
func (a *app) document(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// table prints rows below a heading, for people in columns that line up.
func table(w io.Writer, heading []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(heading, "\t"))
	for _, row := range rows {
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	return tw.Flush()
}

func size(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

func keysText(n *int64) string {
	if n == nil {
		return "unknown"
	}
	return fmt.Sprint(*n)
}

// keysPhrase is "1 key", "2 keys" or "keys not counted".
func keysPhrase(n *int64) string {
	if n == nil {
		return "keys not counted"
	}
	return plural(*n, "key")
}

// plural is "1 key", "2 keys".
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func list(names []string) string { return strings.Join(names, ", ") }

// stateText is the judgement in one word.
func stateText(e repo.Entry) string {
	text := string(e.State())
	if e.Marks.Accepted {
		text = "accepted"
	}
	if e.Marks.Pinned {
		text += ", pinned"
	}
	return text
}
