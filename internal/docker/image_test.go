package docker

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestPullBelievesOnlyAnImageThatIsThere(t *testing.T) {
	f := newFake(t)
	e := f.connect(t)
	steps := `{"status":"Pulling from x"}{"id":"aa","status":"Downloading","progressDetail":{"current":3,"total":9}}` + "\n"
	stream := func(text string) {
		f.handle("POST /images/create", func(w http.ResponseWriter, r *http.Request) {
			if q := r.URL.Query(); q.Get("fromImage") != "docker.io/library/redis" || q.Get("tag") != "7.0" {
				t.Errorf("asked for %v", q)
			}
			io.WriteString(w, text)
		})
	}
	present := answers(200, map[string]string{"Id": someImage})
	absent := refuses(404, "No such image: redis:7.0")
	const inspect = "GET /images/redis:7.0/json"

	stream(steps)
	f.handle(inspect, present)
	var told []string
	err := e.Pull(t.Context(), "redis:7.0", func(layer, status string, done, total int64) {
		told = append(told, fmt.Sprint(layer, " ", status, " ", done, "/", total))
	})
	if err != nil || strings.Join(told, ", ") != " Pulling from x 0/0, aa Downloading 3/9" {
		t.Errorf("told %q, %v", told, err)
	}
	missing := (*NotFoundError)(nil)
	f.handle(inspect, absent)
	if err := e.Pull(t.Context(), "redis:7.0", nil); !errors.As(err, &missing) || missing.Kind != "image" {
		t.Errorf("stream that ended early: %v", err)
	}
	f.handle(inspect, present)
	stream(steps + `{"errorDetail":{"message":"x"},"error":"toomanyrequests: rate limit"}`)
	if err := e.Pull(t.Context(), "redis:7.0", nil); err == nil || !strings.Contains(err.Error(), "rate limit") {
		t.Errorf("error in the stream: %v", err)
	}
	stream(steps + `{"status":`)
	if err := e.Pull(t.Context(), "redis:7.0", nil); err == nil {
		t.Error("torn stream: no error")
	}
	f.handle("POST /images/create", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, steps)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	e.idle = 50 * time.Millisecond
	idle := (*IdleError)(nil)
	if err := e.Pull(t.Context(), "redis:7.0", nil); !errors.As(err, &idle) {
		t.Errorf("stall: %v", err)
	}
}
