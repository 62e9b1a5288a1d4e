package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/internal/repo"
	"github.com/redisbak/redisbak/snapshot"
)

type verifyOptions struct {
	all        bool
	unverified bool
	image      string
	json       bool
}

func (a *app) verifyCommand() *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify [ID|latest]",
		Short: "Prove a snapshot by booting a throw-away copy of it",
		Long: `Lay a snapshot down on a scratch volume, boot the snapshot's own image on it
without a network, count the keys, write, save and append, and remove both
again. Without ID, the newest good snapshot is taken.

The exit code is 0 if it passed, 13 if it failed, and 1 if the boot could not be
carried out, which says nothing about the snapshot.`,
		Args:              takes(0, 1),
		ValidArgsFunction: a.completeIDs,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.runVerify(cmd.Context(), args, o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.all, "all", false, "every snapshot")
	f.BoolVar(&o.unverified, "unverified", false, "every snapshot that was never verified")
	f.StringVar(&o.image, "image", "", "boot `IMAGE` instead of the snapshot's own")
	f.BoolVar(&o.json, "json", false, "print a JSON document")
	return cmd
}

// proofJSON is one verification in a document.
type proofJSON struct {
	ID       snapshot.ID     `json:"id"`
	Result   snapshot.Result `json:"result"`
	Keys     *int64          `json:"keys"`
	Duration float64         `json:"duration_seconds"`
	Reason   string          `json:"reason"`
}

func (a *app) runVerify(ctx context.Context, args []string, o verifyOptions) error {
	if (o.all || o.unverified) && len(args) > 0 || o.all && o.unverified {
		return usagef("an id, --all, --unverified: give one of them")
	}
	r, err := a.openRepo()
	if err != nil {
		return err
	}
	entries, err := a.toVerify(r, args, o)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		a.talk.info("nothing to verify")
		return a.proofs([]proofJSON{}, o)
	}
	b, err := a.openBench(ctx, r)
	if err != nil {
		return err
	}
	defer b.end()
	if o.image != "" {
		if _, err := b.engine.Image(ctx, o.image); err != nil {
			return err
		}
	}
	verifyOne := a.verifier(b, r, o.image)
	proofs, code := []proofJSON{}, exitOK
	for _, e := range entries {
		proof, err := verifyOne(ctx, e)
		if err != nil {
			if len(entries) == 1 || ctx.Err() != nil {
				return err
			}
			code = worst(code, a.explain(err))
			continue
		}
		code = worst(code, a.reportProof(proof, exitFailure))
		out := proofJSON{ID: proof.ID, Result: proof.Result, Duration: proof.Total.Round(time.Millisecond).Seconds(), Reason: proof.Reason}
		if proof.Keyspace != nil {
			n := total(proof.Keyspace)
			out.Keys = &n
		}
		proofs = append(proofs, out)
	}
	if err := a.proofs(proofs, o); err != nil {
		return err
	}
	if code != exitOK {
		return &outcomeError{code}
	}
	return nil
}

func (a *app) proofs(proofs []proofJSON, o verifyOptions) error {
	if !o.json {
		return nil
	}
	return a.document(map[string]any{"proofs": proofs})
}

func (a *app) toVerify(r *repo.Repo, args []string, o verifyOptions) ([]repo.Entry, error) {
	if !o.all && !o.unverified {
		arg := "latest"
		if len(args) == 1 {
			arg = args[0]
		}
		e, err := a.entry(r, arg)
		return []repo.Entry{e}, err
	}
	listing, err := r.List(a.source)
	if err != nil {
		return nil, err
	}
	for _, p := range listing.Problems {
		a.talk.warn(problemText(p))
	}
	var entries []repo.Entry
	for _, e := range listing.Snapshots {
		if o.all || e.Verified() == repo.Never {
			entries = append(entries, e)
		}
	}
	return entries, nil
}
