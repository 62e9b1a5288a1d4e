package config

// nearest is the word that a mistyped one was most likely meant to be, or "".
func nearest(mistyped string, words []string) string {
	if len(mistyped) > long {
		return ""
	}
	best, least := "", max(1, len(mistyped)/3)+1
	for _, w := range words {
		if d := distance(mistyped, w); d < least {
			best, least = w, d
		}
	}
	return best
}

// long is the length that no key has: the work is bounded.
const long = 64

// distance counts the letters to put in, leave out, replace or exchange with
// their neighbour to make one word of another.
func distance(a, b string) int {
	if len(a) > long || len(b) > long {
		return long
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
