//go:build engine

package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// bystanders are containers and volumes that look like left-overs of ours and
// are somebody else's, and some that do not.
type bystanders struct {
	containers, volumes []string
	all                 []string
	was                 string
}

func startBystanders(t *testing.T) bystanders {
	t.Helper()
	var b bystanders
	repo := make([]byte, 16)
	rand.Read(repo)
	foreign := []string{"--label", "redisbak.repo=" + hex.EncodeToString(repo), "--label", "redisbak.run=" + hex.EncodeToString(repo[:8])}
	for i, labels := range [][]string{
		append([]string{"--label", "redisbak.role=verify"}, foreign...),
		append([]string{"--label", "redisbak.role=helper"}, foreign...),
		nil,
	} {
		volume := enginetest.NewVolume(t)
		if i < 2 {
			volume = fmt.Sprintf("redisbak-test-bystander-%s", strings.ToLower(rand.Text()[:8]))
			if _, err := enginetest.Docker(append(append([]string{"volume", "create"}, labels...), volume)...); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { enginetest.Docker("volume", "rm", "--force", volume) })
		}
		made, err := enginetest.Docker(append(append([]string{"create"}, labels...), "--volume", volume+":/data", enginetest.Redis70)...)
		if err != nil {
			t.Fatal(err)
		}
		id := strings.TrimSpace(made)
		t.Cleanup(func() { enginetest.Docker("rm", "--force", id) })
		b.containers, b.volumes = append(b.containers, id), append(b.volumes, volume)
	}
	b.all = append(append(b.all, b.containers...), b.volumes...)
	b.was = b.look(t)
	return b
}

func (b bystanders) look(t testing.TB) string {
	t.Helper()
	containers, err := enginetest.Docker(append([]string{"inspect"}, b.containers...)...)
	if err != nil {
		t.Errorf("a bystander is gone: %v", err)
	}
	volumes, err := enginetest.Docker(append([]string{"volume", "inspect"}, b.volumes...)...)
	if err != nil {
		t.Errorf("a bystander is gone: %v", err)
	}
	return containers + volumes
}

func (b bystanders) asBefore(t testing.TB) {
	t.Helper()
	was, now := strings.Split(b.was, "\n"), strings.Split(b.look(t), "\n")
	for i := range max(len(was), len(now)) {
		switch {
		case i >= len(was) || i >= len(now):
			t.Errorf("bystanders %q: %d lines tell of them, and %d before", b.all, len(now), len(was))
			return
		case was[i] != now[i]:
			t.Errorf("one of the bystanders %q was touched: %s, before: %s", b.all, now[i], was[i])
			return
		}
	}
}
