package aof

import (
	"fmt"
	"strings"
)

// space is what isspace knows in the C locale, in which servers read.
const space = " \t\n\v\f\r"

// split cuts a line without zero bytes into words, as servers cut the lines of
// a manifest and of a configuration file. It is not ok if a quotation does not
// end, or goes on without a space.
func split(line string) (words []string, ok bool) {
	for line = strings.TrimLeft(line, space); line != ""; line = strings.TrimLeft(line, space) {
		var word string
		if word, line, ok = cutWord(line); !ok {
			return nil, false
		}
		words = append(words, word)
	}
	return words, true
}

// cutWord takes the word that line begins with. A quotation may begin within a
// word, and ends it.
func cutWord(line string) (word, rest string, ok bool) {
	i := strings.IndexAny(line, " \n\r\t\"'")
	if i < 0 {
		return line, "", true
	}
	head, rest := line[:i], line[i:]
	switch rest[0] {
	case '"':
		word, rest, ok = cutQuoted(rest[1:], '"', unescape)
	case '\'':
		word, rest, ok = cutQuoted(rest[1:], '\'', unescapeSingle)
	default:
		return head, rest, true
	}
	ok = ok && (rest == "" || strings.Contains(space, rest[:1]))
	return head + word, rest, ok
}

// cutQuoted takes text up to the closing quote.
func cutQuoted(text string, quote byte, unescape func(string) (byte, int)) (word, rest string, ok bool) {
	var b []byte
	for text != "" {
		if text[0] == quote {
			return string(b), text[1:], true
		}
		c, n := unescape(text)
		b, text = append(b, c), text[n:]
	}
	return "", "", false
}

// unescape reads the character that text begins with, within double quotes, and
// how many bytes stand for it. An unknown escape stands for what is escaped.
func unescape(text string) (c byte, n int) {
	if text[0] != '\\' || len(text) == 1 {
		return text[0], 1
	}
	if len(text) >= 4 && text[1] == 'x' {
		high, low := hexDigit(text[2]), hexDigit(text[3])
		if high >= 0 && low >= 0 {
			return byte(high<<4 | low), 4
		}
	}
	if i := strings.IndexByte("nrtba", text[1]); i >= 0 {
		return "\n\r\t\b\a"[i], 2
	}
	return text[1], 2
}

// unescapeSingle is unescape within single quotes, which know but one escape.
func unescapeSingle(text string) (c byte, n int) {
	if strings.HasPrefix(text, `\'`) {
		return '\'', 2
	}
	return text[0], 1
}

// hexDigit is the value of a digit, or -1.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// quote writes a word such that servers read it, the way they write it. They
// leave the single quote alone, and then cannot read back what they wrote; here
// it is reason enough for quotes, and so is the sign that begins a comment.
func quote(word string) string {
	if word != "" && !strings.ContainsFunc(word, needsQuotes) {
		return word
	}
	b := []byte{'"'}
	for i := range len(word) {
		c := word[i]
		switch special := strings.IndexByte("\n\r\t\b\a", c); {
		case special >= 0:
			b = append(b, '\\', "nrtba"[special])
		case c == '\\' || c == '"':
			b = append(b, '\\', c)
		case c < ' ' || c > '~':
			b = fmt.Appendf(b, `\x%02x`, c)
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

func needsQuotes(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`\"'#`, r) }
