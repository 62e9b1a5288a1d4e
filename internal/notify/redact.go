package notify

import (
	"cmp"
	"slices"
	"strings"
)

// hidden stands where a secret was.
const hidden = "…"

// redact takes secrets out of a text.
func redact(text string, secrets []string) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, hidden)
	}
	return text
}

func longestFirst(all []string) []string {
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return slices.Compact(all)
}
