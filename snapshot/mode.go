package snapshot

import "fmt"

// String gives the mode as it is written: "0600".
func (m Mode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// MarshalText writes the mode, and refuses one that is more than permissions.
func (m Mode) MarshalText() ([]byte, error) {
	if m > 0o777 {
		return nil, fmt.Errorf("%#o is more than 0777", uint32(m))
	}
	return []byte(m.String()), nil
}

// UnmarshalText reads a mode as MarshalText writes it.
func (m *Mode) UnmarshalText(text []byte) error {
	if len(text) != 4 {
		return fmt.Errorf("%s is not four octal digits", shown(string(text)))
	}
	var v Mode
	for _, c := range text {
		if c < '0' || c > '7' {
			return fmt.Errorf("%s is not four octal digits", shown(string(text)))
		}
		v = v<<3 | Mode(c-'0')
	}
	if v > 0o777 {
		return fmt.Errorf("%s is more than 0777", shown(string(text)))
	}
	*m = v
	return nil
}
