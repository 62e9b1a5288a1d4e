package snapshot

import (
	"fmt"
	"io"
	"time"
)

// ID names a snapshot: the UTC second at which it was begun and four random
// characters, "20260208T031502Z-7k3f". As text, ids sort by time.
type ID string

const (
	idTime     = "20060102T150405Z"
	idLetters  = "0123456789abcdefghijklmnopqrstuvwxyz"
	idRandom   = 4
	idLength   = len(idTime) + 1 + idRandom
	idFirst    = 1970 // years outside of these would not sort as text
	idLast     = 9999
	idAttempts = 64 // reads of four good bytes; more means a broken source
)

// NewID makes the id of a snapshot begun at t. It takes its random characters
// from random, which is crypto/rand.Reader but for tests.
func NewID(t time.Time, random io.Reader) (ID, error) {
	t = t.UTC()
	if y := t.Year(); y < idFirst || y > idLast {
		return "", fmt.Errorf("snapshot id: year %d is not between %d and %d", y, idFirst, idLast)
	}
	id := make([]byte, 0, idLength)
	id = append(t.AppendFormat(id, idTime), '-')
	// Bytes at and above the largest multiple are thrown away: taken modulo,
	// they would make the first letters likelier than the others.
	const fair = 256 - 256%len(idLetters)
	var b [1]byte
	for range idAttempts {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return "", fmt.Errorf("snapshot id: random bytes: %w", err)
		}
		if int(b[0]) < fair {
			id = append(id, idLetters[int(b[0])%len(idLetters)])
		}
		if len(id) == idLength {
			return ID(id), nil
		}
	}
	return "", fmt.Errorf("snapshot id: the source of random bytes is not random")
}

// ParseID checks that s is a whole snapshot id.
func ParseID(s string) (ID, error) {
	if why := idFault(s); why != "" {
		return "", fmt.Errorf("snapshot id %s: %s", shown(s), why)
	}
	return ID(s), nil
}

// Time is the second at which the snapshot was begun, in UTC. It is zero for
// an id that ParseID refuses.
func (id ID) Time() time.Time {
	if idFault(string(id)) != "" {
		return time.Time{}
	}
	t, _ := time.Parse(idTime, string(id[:len(idTime)]))
	return t
}

func idFault(s string) string {
	const form = `not of the form 20060102T150405Z-xxxx`
	if len(s) != idLength || s[len(idTime)] != '-' {
		return form
	}
	for _, c := range []byte(s[len(idTime)+1:]) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z') {
			return form
		}
	}
	t, err := time.Parse(idTime, s[:len(idTime)])
	if err != nil {
		return form
	}
	if t.Year() < idFirst {
		return fmt.Sprintf("year %d is before %d", t.Year(), idFirst)
	}
	return ""
}
