//go:build engine

package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// The compose file brings up Redis and redisbak side by side, as it stands: the
// server is found by its labels, reached with the secret of a file, backed up
// and verified, the health check tells the truth, and the page is there.
func TestComposeFileKeepsItsRedis(t *testing.T) {
	t.Parallel()
	found, err := exec.Command(filepath.Join(project, "testdata", "engine", "compose.sh")).Output()
	if err != nil {
		t.Fatalf("compose.sh: %v", err)
	}
	compose := strings.Fields(string(found))
	name := "redisbak-test-" + strings.ToLower(rand.Text()[:8])
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("canary-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// It is most often a user's, and not root's.
	if err := os.Chown(password, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	image := buildImage(t)
	run := func(args ...string) (string, error) {
		cmd := exec.Command(compose[0], append(append(compose[1:len(compose):len(compose)], "--file", filepath.Join(project, "deploy", "compose.yaml")), args...)...)
		cmd.Env = append(os.Environ(), "COMPOSE_PROJECT_NAME="+name, "REDIS_IMAGE="+enginetest.Redis70, "REDISBAK_IMAGE="+image,
			"REDISBAK_SCHEDULE=@every 5s", "REDISBAK_PORT="+port, "REDIS_PASSWORD_FILE="+password)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	t.Cleanup(func() {
		if out, err := run("down", "--volumes", "--timeout", "30"); err != nil {
			t.Errorf("down: %v: %s", err, out)
		}
	})
	if out, err := run("up", "--detach"); err != nil {
		t.Fatalf("up: %v: %s", err, out)
	}
	k := &keptHouse{home: &home{t: t}, t: t, address: address}
	enginetest.Eventually(t, 3*time.Minute, "a verified snapshot of the server that its labels name", func() bool {
		return k.metric(`redisbak_verify_result{source="sessions"}`) == "1" && k.metric(`redisbak_good_backups{source="sessions"}`) != "0"
	})
	if out, err := run("exec", "-T", "redisbak", "/redisbak", "daemon", "ready"); err != nil {
		t.Errorf("the health check: %v: %s", err, out)
	}
	if code, page := k.get("/"); code != 200 || !strings.Contains(page, "sessions") {
		t.Errorf("the page: %d: %s", code, page)
	}
	out, err := run("logs", "--no-color")
	if err != nil || strings.Contains(out, "canary-secret") || !strings.Contains(out, "verified ") {
		t.Errorf("the log: %v: %s", err, out)
	}
	if text := fmt.Sprint(dockerLines(t, "ps", "--all", "--no-trunc", "--filter", "name="+name)); strings.Contains(text, "canary-secret") {
		t.Errorf("the secret is in a command line: %s", text)
	}
}
