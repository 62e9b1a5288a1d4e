package status

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// themes are the colours of the style sheet: light, dark, printed.
func themes(t *testing.T) []map[string]string {
	t.Helper()
	var all []map[string]string
	for _, block := range regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(styleCSS, -1) {
		theme := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(block[1], -1) {
			theme[m[1]] = m[2]
		}
		all = append(all, theme)
	}
	if len(all) != 3 {
		t.Fatalf("%d themes, want light, dark and printed", len(all))
	}
	return all
}

// luminance is a colour's, as WCAG 2 defines it.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(colour[1:], 16, 24)
	if err != nil {
		t.Fatal(err)
	}
	part := func(shift uint) float64 {
		c := float64(n>>shift&255) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// Every colour of text can be read on every ground, in each theme.
func TestTextHasContrast(t *testing.T) {
	if got := contrast(t, "#777777", "#ffffff"); math.Abs(got-4.48) > 0.01 {
		t.Fatalf("contrast of #777 on white is 4.48, and not %.2f", got)
	}
	for i, theme := range themes(t) {
		inks := 0
		for ink, colour := range theme {
			if !strings.HasPrefix(ink, "ink") {
				continue
			}
			inks++
			for _, ground := range []string{"page", "card", "sunken"} {
				if got := contrast(t, colour, theme[ground]); got < 4.5 {
					t.Errorf("theme %d: --%s on --%s: %.2f", i, ink, ground, got)
				}
			}
		}
		if inks != 7 {
			t.Errorf("theme %d: %d colours of text, want 7", i, inks)
		}
		// What is drawn needs less.
		for _, ground := range []string{"card", "plot-area"} {
			if got := contrast(t, theme["plot"], theme[ground]); got < 3 {
				t.Errorf("theme %d: --plot on --%s: %.2f", i, ground, got)
			}
		}
	}
}

// No text and no ground has a colour that the test above does not know.
func TestColoursComeFromThemes(t *testing.T) {
	rules := regexp.MustCompile(`(?s):root \{.*?\}`).ReplaceAllString(styleCSS, "")
	for _, m := range regexp.MustCompile(`[{;\s](color|background|background-color):\s*([^;}]+)`).FindAllStringSubmatch(rules, -1) {
		allowed := `^(inherit|var\(--ink[a-z-]*\))$`
		if m[1] != "color" {
			allowed = `^var\(--(page|card|sunken)\)$`
		}
		if !regexp.MustCompile(allowed).MatchString(strings.TrimSpace(m[2])) {
			t.Errorf("%s: %s", m[1], m[2])
		}
	}
	for _, m := range regexp.MustCompile(`#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(|opacity`).FindAllString(rules, -1) {
		t.Errorf("%s: a colour outside of the themes", m)
	}
}
