//go:build engine

package status

import (
	"context"
	_ "embed" // what the page is asked in the browser
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

//go:embed testdata/look.js
var lookJS string

// shots is the directory for screenshots, for who wants to look at the page.
const shots = "REDISBAK_TEST_SHOTS"

// tab is a browser with one page, and all that it complained of or fetched.
type tab struct {
	context.Context
	mu         sync.Mutex
	complaints []string
	fetched    []string
}

func newTab(t *testing.T) *tab {
	t.Helper()
	path, err := exec.Command("../../testdata/engine/browser.sh").Output()
	if err != nil {
		t.Fatalf("browser.sh: %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(strings.TrimSpace(string(path))), chromedp.NoSandbox)
	ctx, cancelAll := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancelAll)
	ctx, cancelBrowser := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancelBrowser)
	ctx, cancelTab := chromedp.NewContext(ctx)
	t.Cleanup(cancelTab)
	b := &tab{Context: ctx}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatal(err)
	}
	order(t, b, log.Enable, cdp.Empty{})
	order(t, b, runtime.Enable, cdp.Empty{})
	order(t, b, network.Enable, network.EnableParams{})
	return b
}

func (b *tab) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, fmt.Sprintf("console: %s", e.Type))
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, "exception: "+e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		b.complaints = append(b.complaints, fmt.Sprintf("%s: %s", e.Entry.Level, e.Entry.Text))
	case *network.EventRequestWillBeSent:
		b.fetched = append(b.fetched, e.Request.URL)
	}
}

// order gives the browser one order of its protocol.
func order[P, R any](t *testing.T, b *tab, command cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(b, command, params); err != nil {
		t.Fatal(err)
	}
}

// run does one thing on the page, and returns what came of it.
func run[T any](t *testing.T, b *tab, action chromedp.Action[T]) T {
	t.Helper()
	result, err := chromedp.Run(b, action)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// open shows a page as on a screen of this width, light, dark or printed.
func (b *tab) open(t *testing.T, url string, width int64, scheme, media string) {
	t.Helper()
	order(t, b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 844, DeviceScaleFactor: 1, Mobile: width < 600})
	order(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Media: media, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	run(t, b, chromedp.Navigate(url))
}

// seen is what look.js finds on the page.
type seen struct {
	Width      int64 // of the page, in pixels; a phone would zoom out to show it
	Background string
	Texts      int
	Faint      []string // texts with too little contrast
	Escaping   []string // elements that stick out of their card
	Rows       []struct {
		HTML    string
		Command string
		Shown   bool // the command, without a click
	}
	Svgs int
}

func (b *tab) look(t *testing.T) seen {
	t.Helper()
	return run(t, b, chromedp.Evaluate[seen](lookJS))
}

// shoot keeps a picture of the whole page, where somebody asked for it.
func (b *tab) shoot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv(shots)
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), run(t, b, chromedp.FullScreenshot(100)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// In a real browser: on a desk and on a phone, in the light and in the dark,
// the page fits, can be read, complains of nothing, fetches nothing, and shows
// each number.
func TestPageInABrowser(t *testing.T) {
	views := map[string]View{"full": full(t), "quiet": quiet(t), "empty": {Now: now(), Version: "dev", Repository: "/backups"}}
	b := newTab(t)
	for name, v := range views {
		address, _ := running(t, func(context.Context) (View, error) { return v, nil }, usual())
		paths := map[string]string{"": "/"}
		if len(v.Sources) > 0 {
			paths["-source"] = "/source/" + v.Sources[len(v.Sources)-1].Name
		}
		for suffix, path := range paths {
			for _, width := range []int64{1280, 390} {
				for _, scheme := range []string{"light", "dark"} {
					what := fmt.Sprintf("%s%s-%s-%d", name, suffix, scheme, width)
					t.Run(what, func(t *testing.T) {
						b.open(t, "http://"+address+path, width, scheme, "screen")
						b.shoot(t, what)
						s := b.look(t)
						if s.Width > width {
							t.Errorf("the page is %d pixels wide, the screen %d", s.Width, width)
						}
						judge(t, s, v, path, scheme)
						b.complainsOfNothing(t, address)
					})
				}
			}
		}
	}
}

func judge(t *testing.T, s seen, v View, path, scheme string) {
	t.Helper()
	if s.Texts < 10 {
		t.Errorf("%d texts: this is not the page", s.Texts)
	}
	for _, text := range s.Faint {
		t.Errorf("too little contrast: %s", text)
	}
	for _, element := range s.Escaping {
		t.Errorf("sticks out of its card: %s", element)
	}
	if want := map[string]string{"light": "rgb(244, 245, 247)", "dark": "rgb(16, 20, 26)"}[scheme]; s.Background != want {
		t.Errorf("%s: background %s, want %s", scheme, s.Background, want)
	}
	shown := shownOn(v, path)
	if len(s.Rows) != len(shown) {
		t.Fatalf("%d rows of %d snapshots", len(s.Rows), len(shown))
	}
	for i, e := range shown {
		for _, d := range differences(s.Rows[i].HTML, e) {
			t.Errorf("%s: %s", e.ID, d)
		}
		if want := strings.Join(restoreCommand(v.Repository, e.ID), " "); s.Rows[i].Command != want {
			t.Errorf("%s: the command is %q, want %q", e.ID, s.Rows[i].Command, want)
		}
	}
}

// shownOn are the snapshots that must be on a page, in their order.
func shownOn(v View, path string) (all []Snapshot) {
	for _, s := range v.Sources {
		switch {
		case path == "/":
			all = append(all, s.Snapshots[:min(len(s.Snapshots), rowsOfSource)]...)
		case strings.HasSuffix(path, "/"+s.Name):
			all = append(all, s.Snapshots...)
		}
	}
	return all
}

// complainsOfNothing fails where the browser complained, or fetched something else.
func (b *tab) complainsOfNothing(t *testing.T, address string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		t.Errorf("the browser complains: %s", c)
	}
	for _, url := range b.fetched {
		if !strings.HasPrefix(url, "http://"+address+"/") && !strings.HasPrefix(url, "data:") {
			t.Errorf("the browser fetched %s", url)
		}
	}
	b.complaints, b.fetched = nil, nil
}

// A click shows a command, and one more selects all of it; paper shows them
// all, for nobody can click on it.
func TestCommandsCanBeCopiedInABrowser(t *testing.T) {
	v := quiet(t)
	address, _ := running(t, func(context.Context) (View, error) { return v, nil }, usual())
	b := newTab(t)
	b.open(t, "http://"+address+"/", 1280, "light", "screen")
	if s := b.look(t); s.Rows[0].Shown {
		t.Error("the command is shown before anybody asks for it")
	}
	run(t, b, chromedp.Click(chromedp.CSS("tbody tr:first-child summary")))
	run(t, b, chromedp.Click(chromedp.CSS("tbody tr:first-child .copy")))
	selected := run(t, b, chromedp.Evaluate[string]("getSelection().toString()"))
	if want := strings.Join(restoreCommand(v.Repository, v.Sources[0].Snapshots[0].ID), " "); selected != want {
		t.Errorf("selected is %q, want %q", selected, want)
	}
	b.open(t, "http://"+address+"/", 1280, "dark", "print")
	s := b.look(t)
	if s.Background != "rgb(255, 255, 255)" {
		t.Errorf("paper is %s", s.Background)
	}
	for _, r := range s.Rows {
		if !r.Shown {
			t.Errorf("not on paper: %s", r.Command)
		}
	}
}
