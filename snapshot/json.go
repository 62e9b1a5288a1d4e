package snapshot

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// encoding/json alone is too kind for files that a restore rests on: it takes
// the last of two equal keys, matches keys whatever their case, leaves a field
// alone for null or when its key is missing, and cuts a number's fraction only
// with an error that differs by version. So the text is read into a tree, and
// the tree into the struct, by the rules that FORMAT.md states.

const (
	maxJSON  = 1 << 20
	maxDepth = 16
)

// canonical is the one encoding of v: members in the order of the struct, two
// spaces of indent, only what must be escaped is, one newline at the end.
func canonical(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// readLimited reads r to its end, and refuses more than the limit of a JSON
// file without having read much more than that.
func readLimited(what string, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxJSON+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if len(data) > maxJSON {
		return nil, &FormatError{What: what, Why: "larger than 1 MiB"}
	}
	return data, nil
}

// object reads data as one JSON object. Objects in it are map[string]any,
// arrays []any, numbers json.Number.
func object(data []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("empty")
	}
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := value(d, 1)
	if err != nil {
		return nil, syntaxError(err, d)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("data after the end")
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s, want an object", kindOf(v))
	}
	return m, nil
}

// treeError is a fault of the tree, as against one of the syntax.
type treeError string

func (e treeError) Error() string { return string(e) }

func syntaxError(err error, d *json.Decoder) error {
	var tree treeError
	switch {
	case errors.As(err, &tree):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("ends too early")
	default:
		return fmt.Errorf("not JSON at byte %d", d.InputOffset())
	}
}

// value reads the next value; depth counts the nesting it may open.
func value(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	open, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth > maxDepth {
		return nil, treeError(fmt.Sprintf("nested deeper than %d", maxDepth))
	}
	if open == '[' {
		return array(d, depth)
	}
	return members(d, depth)
}

func array(d *json.Decoder, depth int) (any, error) {
	list := []any{}
	for d.More() {
		v, err := value(d, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.Token()
	return list, err
}

func members(d *json.Decoder, depth int) (any, error) {
	m := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, ok := t.(string)
		if !ok {
			return nil, treeError("not JSON: a key that is not a string")
		}
		if _, twice := m[key]; twice {
			return nil, treeError("duplicate key " + shown(key))
		}
		if m[key], err = value(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return m, err
}

// fill sets the struct that dst points to from an object of the tree. Members
// must be there unless they may be omitted, and have their own type. The names
// of members that the struct does not have go to unknown, in no order.
func fill(m map[string]any, dst any, unknown func(path string)) error {
	return fillStruct("", m, reflect.ValueOf(dst).Elem(), unknown)
}

func fillStruct(at string, m map[string]any, dst reflect.Value, unknown func(path string)) error {
	known := make(map[string]bool, dst.NumField())
	for i := range dst.NumField() {
		name, options, _ := strings.Cut(dst.Type().Field(i).Tag.Get("json"), ",")
		known[name] = true
		optional := options == "omitempty"
		v, there := m[name]
		switch {
		case !there && optional:
			continue
		case !there:
			return fmt.Errorf("%s: missing", at+name)
		case v == nil && !optional && dst.Field(i).Kind() == reflect.Slice:
			continue
		}
		if err := fillValue(at+name, v, dst.Field(i), unknown); err != nil {
			return err
		}
	}
	for name := range m {
		if known[name] {
			continue
		}
		// Readers that do not mind the case would take it for the other.
		for like := range known {
			if strings.EqualFold(name, like) {
				return fmt.Errorf("%s: %s differs from it in case only", at+like, shown(name))
			}
		}
		unknown(at + name)
	}
	return nil
}

func fillValue(at string, v any, dst reflect.Value, unknown func(path string)) error {
	wrong := func(want string) error { return fmt.Errorf("%s: %s, want %s", at, kindOf(v), want) }
	if text, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		s, ok := v.(string)
		if !ok {
			return wrong("a string")
		}
		return fillText(at, s, text)
	}
	switch dst.Kind() {
	case reflect.String:
		s, ok := v.(string)
		if !ok {
			return wrong("a string")
		}
		dst.SetString(s)
	case reflect.Bool:
		b, ok := v.(bool)
		if !ok {
			return wrong("a boolean")
		}
		dst.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, ok := v.(json.Number)
		if !ok {
			return wrong("a number")
		}
		i, err := strconv.ParseInt(n.String(), 10, dst.Type().Bits())
		if err != nil {
			return fmt.Errorf("%s: not a whole number within its range", at)
		}
		dst.SetInt(i)
	case reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			return wrong("an array")
		}
		dst.Set(reflect.MakeSlice(dst.Type(), len(list), len(list)))
		for i, e := range list {
			if err := fillValue(fmt.Sprintf("%s[%d]", at, i), e, dst.Index(i), unknown); err != nil {
				return err
			}
		}
	case reflect.Struct:
		m, ok := v.(map[string]any)
		if !ok {
			return wrong("an object")
		}
		return fillStruct(at+".", m, dst, unknown)
	default:
		panic("snapshot: no rule to read a " + dst.Type().String())
	}
	return nil
}

func fillText(at, s string, dst encoding.TextUnmarshaler) error {
	if err := dst.UnmarshalText([]byte(s)); err != nil {
		if _, ok := dst.(*time.Time); ok {
			return fmt.Errorf("%s: %s is not a time of RFC 3339", at, shown(s))
		}
		return fmt.Errorf("%s: %w", at, err)
	}
	if _, ok := dst.(*time.Time); ok && !strings.HasSuffix(s, "Z") {
		return fmt.Errorf("%s: %s is not in UTC", at, shown(s))
	}
	return nil
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	case []any:
		return "an array"
	default:
		return "an object"
	}
}
