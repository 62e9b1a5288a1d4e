package status

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var styleCSS string

// How many snapshots are shown of each source: so many on its own page, and on
// the page of all sources up to rowsOfSource, but not more than rowsOfAll
// together, and at least rowsLeast.
const (
	rowsOfPage   = 500
	rowsOfSource = 50
	rowsOfAll    = 600
	rowsLeast    = 5
)

// maxProblems are those that the page names.
const maxProblems = 20

// pages makes HTML of views.
type pages struct {
	html      *template.Template
	style     template.CSS
	styleHash string // as a Content-Security-Policy names it
}

func newPages() (*pages, error) {
	html, err := template.New("").Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("status page: %w", err)
	}
	sum := sha256.Sum256([]byte(styleCSS))
	return &pages{html: html, style: template.CSS(styleCSS), styleHash: "sha256-" + base64.StdEncoding.EncodeToString(sum[:])}, nil
}

// sheet is one page, in the words that its template prints.
type sheet struct {
	Title, Headline, Zone string
	Base                  string // from this page to /
	Single, Empty         bool
	Style                 template.CSS
	Version, Repository   string
	Now                   moment
	Free                  figure
	Tally                 []tally
	Problems              *problems
	Overview              []card
	Sources               []card
}

type tally struct {
	State State
	N     int
	Badge badge
}

type problems struct {
	Heading string
	List    []Problem
	More    string
}

func (p *pages) sheet(v View) sheet {
	out := sheet{
		Title: "redisbak", Zone: v.zone().String(), Style: p.style, Version: v.Version, Repository: v.Repository,
		Now: momentOf(v, v.Now), Problems: problemsOf(v.Problems),
	}
	if v.FreeBytes != nil {
		out.Free = sizeFigure(*v.FreeBytes)
	}
	return out
}

// all is the page of all sources.
func (p *pages) all(v View) sheet {
	out := p.sheet(v)
	out.Headline, out.Tally, out.Empty = headline(v), tallyOf(v), len(v.Sources) == 0
	rows := max(rowsLeast, min(rowsOfSource, rowsOfAll/max(1, len(v.Sources))))
	for _, s := range v.Sources {
		c := cardOf(v, s, 0, rows)
		if len(s.Snapshots) > rows {
			c.Pages = []link{{Href: "source/" + url.PathEscape(s.Name), Text: fmt.Sprintf("All %s of %s", plural(int64(len(s.Snapshots)), "snapshot"), s.Name)}}
		}
		out.Sources = append(out.Sources, c)
	}
	if len(v.Sources) > 1 {
		out.Overview = out.Sources
	}
	return out
}

// one is the page of one source, with its history from one row on.
func (p *pages) one(v View, s Source, from int) sheet {
	out := p.sheet(v)
	out.Title, out.Single, out.Base, out.Problems = s.Name+" – redisbak", true, "../", nil
	c := cardOf(v, s, from, rowsOfPage)
	c.Single = true
	if from > 0 {
		c.Pages = append(c.Pages, link{Href: "?from=" + strconv.Itoa(max(0, from-rowsOfPage)), Text: "Newer"})
	}
	if from+rowsOfPage < len(s.Snapshots) {
		c.Pages = append(c.Pages, link{Href: "?from=" + strconv.Itoa(from+rowsOfPage), Text: "Older"})
	}
	out.Sources = []card{c}
	return out
}

// headline is the state of all in one sentence, the worst first.
func headline(v View) string {
	wrong, late, never := 0, 0, 0
	for _, s := range v.Sources {
		switch {
		case s.Overdue || s.State == Overdue:
			late++
		case s.State == Failed || s.State == Unknown || s.State == Suspect:
			wrong++
		case s.State == Never:
			never++
		}
	}
	count := plural(int64(len(v.Sources)), "source")
	switch {
	case len(v.Sources) == 0:
		return "No sources yet"
	case late > 0:
		return fmt.Sprintf("%d of %s overdue", late, count)
	case wrong > 0:
		return fmt.Sprintf("%d of %s need a look", wrong, count)
	case never > 0:
		return fmt.Sprintf("%d of %s never backed up", never, count)
	case len(v.Problems) > 0:
		return "The repository needs a look"
	case len(v.Sources) == 1:
		return "The source is backed up as planned"
	}
	return fmt.Sprintf("All %s are backed up as planned", count)
}

func tallyOf(v View) (all []tally) {
	for _, state := range states() {
		n := 0
		for _, s := range v.Sources {
			if s.State == state {
				n++
			}
		}
		if n > 0 {
			all = append(all, tally{state, n, stateBadge(state)})
		}
	}
	return all
}

func problemsOf(list []Problem) *problems {
	if len(list) == 0 {
		return nil
	}
	p := &problems{Heading: plural(int64(len(list)), "problem") + " in the repository", List: list}
	if rest := len(list) - maxProblems; rest > 0 {
		p.List, p.More = list[:maxProblems], fmt.Sprintf("And %d more: redisbak list names them all.", rest)
	}
	return p
}

// overview serves the page of all sources.
func (s *site) overview(w http.ResponseWriter, r *http.Request) {
	if v, ok := s.look(w, r); ok {
		s.show(w, r, s.page.all(v))
	}
}

// single serves the page of one source.
func (s *site) single(w http.ResponseWriter, r *http.Request) {
	from := 0
	if q := r.URL.Query().Get("from"); q != "" {
		n, err := strconv.Atoi(q)
		if err != nil || n < 0 {
			text(w, http.StatusBadRequest, fmt.Sprintf("from=%q: not a row of the history\n", q))
			return
		}
		from = n
	}
	v, ok := s.look(w, r)
	if !ok {
		return
	}
	source, ok := v.source(r.PathValue("name"))
	if !ok {
		text(w, http.StatusNotFound, fmt.Sprintf("there is no source %q\n", r.PathValue("name")))
		return
	}
	s.show(w, r, s.page.one(v, source, min(from, len(source.Snapshots))))
}

// show writes a page once it is whole.
func (s *site) show(w http.ResponseWriter, r *http.Request, page sheet) {
	var whole bytes.Buffer
	if err := s.page.html.ExecuteTemplate(&whole, "page", page); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(whole.Len()))
	_, _ = whole.WriteTo(w) // a client that went away is its own affair
}
