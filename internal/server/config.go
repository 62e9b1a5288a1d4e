package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Config reads the named options. One that the server does not know is absent
// from the map. Where CONFIG GET is renamed, disabled or forbidden, the error
// is [ErrConfigDenied].
//
// Names are literal options such as "dir": it is on the caller never to name
// one that holds a secret.
func (s *Server) Config(ctx context.Context, names ...string) (map[string]string, error) {
	requests := make([]request, len(names)) // several names at once need 7.0
	for i, name := range names {
		requests[i] = command("CONFIG GET", name)
	}
	replies, err := s.read(ctx, requests...)
	if err != nil {
		return nil, err
	}
	options := map[string]string{}
	for i, r := range replies {
		if r.err != nil {
			return nil, configError(r.err)
		}
		list, ok := r.value.([]any)
		if !ok || len(list)%2 != 0 {
			return nil, ErrNotRedis
		}
		for j := 0; j < len(list); j += 2 {
			name, value := fmt.Sprint(list[j]), fmt.Sprint(list[j+1])
			if strings.EqualFold(name, names[i]) {
				options[names[i]] = value
			}
		}
	}
	return options, nil
}

func configError(err error) error {
	var auth *AuthError
	var missing *NoCommandError
	switch {
	case errors.As(err, &missing),
		errors.As(err, &auth) && strings.HasPrefix(auth.Reason, "NOPERM"):
		return fmt.Errorf("%w: %w", ErrConfigDenied, err)
	}
	return err
}
