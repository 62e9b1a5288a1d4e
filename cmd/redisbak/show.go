package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
	"github.com/redisbak/redisbak/verify"
)

func (a *app) showCommand() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "show ID|latest",
		Short: "Show all that is known of one snapshot",
		Long: `Show what a snapshot holds, where it came from and what its verification showed.
ID may be a prefix that no other id shares; latest is the newest good snapshot
of the only source, or of --source.`,
		Args:              takes(1, 1),
		ValidArgsFunction: a.completeIDs,
		RunE: func(_ *cobra.Command, args []string) error {
			_, e, err := a.openEntry(args[0])
			if err != nil {
				return err
			}
			if json {
				return a.document(showJSON{toJSON(e), e.Manifest, e.Proof})
			}
			a.printEntry(e)
			return nil
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print a JSON document")
	return cmd
}

// showJSON is one snapshot with all that is recorded of it.
type showJSON struct {
	snapshotJSON
	Manifest *snapshot.Manifest `json:"manifest"`
	Proof    *snapshot.Proof    `json:"proof"`
}

func (a *app) printEntry(e repo.Entry) {
	m := e.Manifest
	row := func(name, format string, args ...any) {
		fmt.Fprintf(a.stdout, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("id", "%s", m.ID)
	row("source", "%s (container %s, image %s)", m.Source.Name, m.Source.Container, m.Source.Image)
	row("point in time", "%s", both(m.PointInTime, a.zone))
	row("method", "%s", m.Method)
	row("server", "%s %s, %s", m.Server.Software, m.Server.Version, m.Server.Role)
	row("state", "%s", stateText(e))
	if m.Reason != "" {
		row("reason", "%s", m.Reason)
	}
	row("keys", "%s", countsText(e))
	for _, f := range m.Files {
		row("file", "%s: %s, stored as %s (%s)", f.Path, size(f.Size), f.Name, size(f.StoredSize))
		row("", "%d:%d %04o sha256 %s", f.UID, f.GID, f.Mode, f.SHA256)
	}
	row("volume", "%s", mountText(m.Source.Mount))
	row("verified", "%s", proofText(e))
	if e.Marks.Pinned {
		row("pinned", "yes")
	}
	if len(e.Marks.Tags) > 0 {
		row("tags", "%s", strings.Join(e.Marks.Tags, " "))
	}
	for _, p := range e.Problems {
		a.talk.warn(problemText(p))
	}
}

func countsText(e repo.Entry) string {
	if e.Manifest.Keyspace == nil {
		return "not counted"
	}
	return verify.Counts(e.Manifest.Keyspace)
}

func mountText(m snapshot.Mount) string {
	if m.Type == snapshot.MountBind {
		return fmt.Sprintf("bind mount of %s at %s", m.Path, m.Destination)
	}
	return fmt.Sprintf("%s at %s", m.Name, m.Destination)
}

func proofText(e repo.Entry) string {
	p := e.Proof
	switch e.Verified() {
	case repo.Passed:
		return fmt.Sprintf("passed at %s, booted %s: filled in %.1f s, loaded in %.1f s, digest %.12s…",
			p.At.Format("2006-01-02T15:04:05Z07:00"), p.Server, p.Fill.Seconds(), p.Load.Seconds(), p.Digest)
	case repo.Failed:
		return "failed: " + p.Reason
	default:
		return "never"
	}
}
