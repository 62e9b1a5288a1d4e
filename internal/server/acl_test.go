//go:build engine

package server

import (
	"errors"
	"strings"
	"testing"

	"github.com/redisbak/redisbak/internal/enginetest"
)

// user is the least that the documentation asks for.
var user = strings.Fields("ACL SETUSER redisbak reset on >" + secret + " -@all +ping +info +time +lastsave +bgsave +dbsize +role +config|get")

func asUser(t *testing.T, r *enginetest.Redis) Options {
	o := optionsFor(t, r)
	o.Username, o.Password = "redisbak", secret
	return o
}

func startWithUser(t *testing.T, image string, changes ...string) *enginetest.Redis {
	t.Helper()
	r := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--save", ""}})
	r.Cmd(append(append([]string{}, user...), changes...)...)
	r.Cmd("SET", "a", "b")
	return r
}

// The documented user can do all that is needed, and no command of ours is
// refused on the way.
func TestLeastPrivilege(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := startWithUser(t, image)
		s, err := Connect(t.Context(), asUser(t, r))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		if c, err := s.Config(t.Context(), "dir", "appendonly"); err != nil || c["dir"] != "/data" {
			t.Errorf("got %v, %v", c, err)
		}
		saveAndCheck(t, s)
		if denied := r.Cmd("ACL", "LOG"); denied != "" {
			t.Errorf("refused: %s", denied)
		}
	})
}

func saveAndCheck(t *testing.T, s *Server) {
	t.Helper()
	saved, err := s.Save(t.Context(), SaveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SettleSecond(t.Context(), saved); err != nil {
		t.Error(err)
	}
	if ok, err := s.StillSaved(t.Context(), saved); !ok || err != nil {
		t.Errorf("still saved: %v, %v", ok, err)
	}
}

// Without CONFIG a save works all the same.
func TestWithoutConfig(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		t.Run("forbidden", func(t *testing.T) {
			r := startWithUser(t, image, "-config")
			s, err := Connect(t.Context(), asUser(t, r))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if _, err := s.Config(t.Context(), "dir"); !errors.Is(err, ErrConfigDenied) || !isAuth("CONFIG GET")(err) {
				t.Errorf("got %v", err)
			}
			saveAndCheck(t, s)
		})
		t.Run("renamed", func(t *testing.T) {
			r := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--rename-command", "CONFIG", "hidden-by-the-owner"}})
			s := connectTo(t, r)
			_, err := s.Config(t.Context(), "dir")
			var missing *NoCommandError
			if !errors.Is(err, ErrConfigDenied) || !errors.As(err, &missing) || missing.Command != "CONFIG GET" {
				t.Errorf("got %v", err)
			}
			saveAndCheck(t, s)
		})
	})
}

// FAULTS 11: the command that is missing is named, and nothing secret is.
func TestMissingPermissions(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := startWithUser(t, image)
		for _, command := range []string{"ping", "info", "time", "bgsave"} {
			r.Cmd(append(append([]string{}, user...), "-"+command)...)
			s, err := Connect(t.Context(), asUser(t, r))
			if err == nil {
				_, err = s.Save(t.Context(), SaveOptions{})
				_ = s.Close()
			}
			if !isAuth(strings.ToUpper(command))(err) || !strings.Contains(err.Error(), "NOPERM") || strings.Contains(err.Error(), secret) {
				t.Errorf("-%s: %v", command, err)
			}
			if r.Field("rdb_bgsave_in_progress") != "0" || r.Field("rdb_last_bgsave_time_sec") != "-1" {
				t.Errorf("-%s: a save was begun", command)
			}
		}
	})
}

func TestWrongCredentials(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		withUser := startWithUser(t, image)
		withPassword := enginetest.Start(t, enginetest.Options{Image: image, Password: "the right one"})
		bare := enginetest.Start(t, enginetest.Options{Image: image})
		renamed := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--rename-command", "AUTH", ""}})
		tests := []struct {
			name, username, password string
			r                        *enginetest.Redis
			command                  string // that is refused; empty: none
		}{
			{"the user's", "redisbak", secret, withUser, ""},
			{"another password", "redisbak", secret + "x", withUser, "AUTH"},
			{"another user", "nobody", secret, withUser, "AUTH"},
			{"the password", "", "the right one", withPassword, ""},
			{"the default user's password", "default", "the right one", withPassword, ""},
			{"another password for the default user", "", secret, withPassword, "AUTH"},
			{"none", "", "", withPassword, "PING"},
			{"a password for nothing", "", secret, bare, "AUTH"},
			{"AUTH is disabled", "", secret, renamed, "AUTH"},
		}
		for _, test := range tests {
			o := optionsFor(t, test.r)
			o.Username, o.Password = test.username, test.password
			s, err := Connect(t.Context(), o)
			switch {
			case test.command == "" && err != nil:
				t.Errorf("%s: %v", test.name, err)
			case test.command == "":
				_ = s.Close()
			case !isAuth(test.command)(err):
				t.Errorf("%s: %v (%T)", test.name, err, err)
			case strings.Contains(err.Error(), secret):
				t.Errorf("%s: the password is told: %v", test.name, err)
			}
		}
	})
}

func TestBGSAVEDisabled(t *testing.T) {
	perImage(t, func(t *testing.T, image string) {
		r := enginetest.Start(t, enginetest.Options{Image: image, Args: []string{"--rename-command", "BGSAVE", ""}})
		_, err := connectTo(t, r).Save(t.Context(), SaveOptions{})
		var missing *NoCommandError
		if !errors.As(err, &missing) || missing.Command != "BGSAVE" {
			t.Errorf("got %v", err)
		}
	})
}
