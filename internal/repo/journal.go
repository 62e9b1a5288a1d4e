package repo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redisbak/redisbak/snapshot"
)

// States of a restore.
const (
	RestoreStarted = "started"
	RestoreDone    = "done"
)

// RestoreRecord says what a restore was about to change before it changed
// anything, and whether it came to its end.
type RestoreRecord struct {
	Run       string      `json:"run"`
	Source    string      `json:"source"`
	ID        snapshot.ID `json:"id"`
	Volume    string      `json:"volume"`
	Paths     []string    `json:"paths"`    // all that it lays down, relative to the volume's root
	Bootable  string      `json:"bootable"` // the one of Paths that comes last
	Created   bool        `json:"created"`  // the volume is the restore's own
	State     string      `json:"state"`
	StartedAt time.Time   `json:"started_at"`
	DoneAt    time.Time   `json:"done_at,omitzero"`
}

// Restore is a restore that was recorded as started.
type Restore struct {
	repo   *Repo
	record RestoreRecord
}

// StartRestore records a restore; it comes before the first change. State and
// DoneAt are set here.
func (r *Repo) StartRestore(record RestoreRecord) (*Restore, error) {
	if err := snapshot.ValidSourceName(record.Source); err != nil {
		return nil, err
	}
	if !isHex(record.Run, runIDLength) {
		return nil, fmt.Errorf("record of the restore of %s: no run is named %q", record.ID, record.Run)
	}
	if err := r.present(); err != nil {
		return nil, err
	}
	record.State, record.DoneAt = RestoreStarted, time.Time{}
	record.StartedAt = record.StartedAt.UTC()
	record.Paths = slices.Clone(record.Paths)
	if err := r.disk.Mkdir(r.restoresDir(record.Source)); err == nil {
		err = r.disk.SyncDir(r.sourceDir(record.Source))
		if err != nil {
			return nil, fmt.Errorf("record of the restore of %s: %w", record.ID, writeError(err))
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("record of the restore of %s: %w", record.ID, writeError(err))
	}
	return &Restore{repo: r, record: record}, r.writeRecord(record)
}

// Finish records that all of the restore was done.
func (rs *Restore) Finish(at time.Time) error {
	rs.record.State, rs.record.DoneAt = RestoreDone, at.UTC()
	return rs.repo.writeRecord(rs.record)
}

// Restores returns the records of a source's restores, newest first. One that
// cannot be read is passed over: nothing may be done on its word.
func (r *Repo) Restores(source string) ([]RestoreRecord, error) {
	if err := snapshot.ValidSourceName(source); err != nil {
		return nil, err
	}
	if err := r.present(); err != nil {
		return nil, err
	}
	var records []RestoreRecord
	err := r.eachRecord(source, func(_ string, rec RestoreRecord, err error) {
		if err == nil {
			records = append(records, rec)
		}
	})
	slices.SortStableFunc(records, func(a, b RestoreRecord) int { return b.StartedAt.Compare(a.StartedAt) })
	return records, err
}

// tornRecords names the records that cannot be read.
func (r *Repo) tornRecords(source string) ([]Problem, error) {
	var notes []Problem
	err := r.eachRecord(source, func(name string, _ RestoreRecord, err error) {
		if err != nil {
			notes = append(notes, Problem{File: path.Join(source, restoresName, name), Problem: reason(err)})
		}
	})
	return notes, err
}

func (r *Repo) eachRecord(source string, visit func(name string, rec RestoreRecord, err error)) error {
	entries, err := r.disk.ReadDir(r.restoresDir(source))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list restores of %s: %w", source, err)
	}
	for _, e := range entries {
		if run, ok := strings.CutSuffix(e.Name(), ".json"); ok && isHex(run, runIDLength) {
			rec, err := r.readRecord(source, run)
			visit(e.Name(), rec, err)
		}
	}
	return nil
}

func (r *Repo) restoresDir(source string) string {
	return filepath.Join(r.sourceDir(source), restoresName)
}

func (r *Repo) readRecord(source, run string) (RestoreRecord, error) {
	var rec RestoreRecord
	text, err := readSmall(filepath.Join(r.restoresDir(source), run+".json"), mutableLimit)
	if err != nil {
		return rec, err
	}
	if err := json.Unmarshal(text, &rec); err != nil {
		return rec, err
	}
	again, err := encodeRecord(rec)
	if err != nil {
		return rec, err
	}
	if rec.Run != run || rec.Source != source || !bytes.Equal(again, text) ||
		(rec.State != RestoreStarted && rec.State != RestoreDone) {
		return rec, errors.New("not a record that redisbak wrote")
	}
	return rec, nil
}

func (r *Repo) writeRecord(rec RestoreRecord) error {
	text, err := encodeRecord(rec)
	if err == nil {
		dir := r.restoresDir(rec.Source)
		temp := filepath.Join(r.sourceDir(rec.Source), restoreDraft+rec.Run)
		err = replaceFile(r.disk, temp, dir, rec.Run+".json", text)
	}
	if err != nil {
		return fmt.Errorf("record of the restore of %s: %w", rec.ID, writeError(err))
	}
	return nil
}

func encodeRecord(rec RestoreRecord) ([]byte, error) {
	text, err := json.MarshalIndent(rec, "", "  ")
	return append(text, '\n'), err
}
