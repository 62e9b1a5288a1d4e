package repo

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/redisbak/redisbak/snapshot"
)

func TestInitMakesARepositoryThatOpens(t *testing.T) {
	base := t.TempDir()
	for _, c := range []struct {
		name    string
		prepare func(dir string)
	}{
		{"missing", func(string) {}},
		{"empty", func(dir string) { mkdir(t, dir) }},
		{"fresh file system", func(dir string) { mkdir(t, dir); mkdir(t, filepath.Join(dir, "lost+found")) }},
		{"killed while it was made", func(dir string) {
			draft := mkdir(t, filepath.Join(base, ".killed while it was made.redisbak-new"))
			write(t, filepath.Join(draft, markerName), []byte("{"))
			write(t, filepath.Join(draft, markerName+newSuffix), nil)
		}},
		{"killed in an empty directory", func(dir string) { mkdir(t, dir); write(t, filepath.Join(dir, markerName+newSuffix), []byte("{")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(base, c.name)
			c.prepare(dir)
			made, err := Init(dir)
			if err != nil {
				t.Fatal(err)
			}
			opened, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if made.ID() != opened.ID() || !isHex(made.ID(), 32) || opened.Dir() != dir {
				t.Errorf("made %s, opened %s at %s", made.ID(), opened.ID(), opened.Dir())
			}
			want := `{"format":1,"id":"` + made.ID() + "\"}\n"
			if got := string(read(t, filepath.Join(dir, markerName))); got != want {
				t.Errorf("marker is %q, want %q", got, want)
			}
			if left, _ := filepath.Glob(filepath.Join(base, ".*")); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
			if _, err := Init(dir); !errors.Is(err, ErrExists) {
				t.Errorf("a second init: %v", err)
			}
		})
	}
}

func TestInitRefusesWhatIsSomethingElse(t *testing.T) {
	base := t.TempDir()
	write(t, filepath.Join(base, "file"), nil)
	mkdir(t, filepath.Join(base, "full"))
	write(t, filepath.Join(base, "full", "x"), nil)
	if err := os.Symlink("nowhere", filepath.Join(base, "dangling")); err != nil {
		t.Fatal(err)
	}
	for dir, reason := range map[string]string{
		"file":           "it is not a directory",
		"full":           "it is not empty",
		"none/repo":      "its parent directory does not exist",
		"dangling":       "it is a symbolic link to nothing",
		"file/repo":      "not a directory",
		"none/none/repo": "its parent directory does not exist",
	} {
		_, err := Init(filepath.Join(base, dir))
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("init of %s: %v, want %s", dir, err, reason)
		}
	}
	if got := read(t, filepath.Join(base, "full", "x")); len(got) != 0 {
		t.Error("the file in a refused directory was changed")
	}
}

func TestCreateOnlyWhereNothingIs(t *testing.T) {
	base := t.TempDir()
	r, created, err := Create(filepath.Join(base, "new"))
	if err != nil || !created {
		t.Fatalf("create: %v, created %v", err, created)
	}
	again, created, err := Create(filepath.Join(base, "new"))
	if err != nil || created || again.ID() != r.ID() {
		t.Errorf("a second create: %v, created %v, id %v", err, created, again)
	}
	mkdir(t, filepath.Join(base, "mountpoint"))
	if _, _, err := Create(filepath.Join(base, "mountpoint")); !errors.Is(err, ErrNoRepository) {
		t.Errorf("create in an empty directory: %v", err)
	}
	if names, _ := os.ReadDir(filepath.Join(base, "mountpoint")); len(names) > 0 {
		t.Errorf("create left %v in a directory that it refused", names)
	}
	var unusable *UnusableError
	if _, _, err := Create(filepath.Join(base, "a", "b", "repo")); !errors.As(err, &unusable) {
		t.Errorf("create without parents: %v", err)
	}
	if _, created, err := Create(filepath.Join(base, "a", "b", "repo"), MakeParents); err != nil || !created {
		t.Errorf("create with parents: %v", err)
	}
	mustHaveModes(t, filepath.Join(base, "a"))
}

// Two runs that both find no repository end up in the same one.
func TestCreateByManyAtOnceMakesOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "repo")
	type result struct {
		r       *Repo
		created bool
		err     error
	}
	const many = 16
	results := make(chan result, many)
	for range many {
		go func() {
			r, created, err := Create(dir)
			results <- result{r, created, err}
		}()
	}
	made := map[string]int{}
	creators := 0
	for range many {
		res := <-results
		if errors.Is(res.err, ErrLocked) {
			continue
		}
		if res.err != nil {
			t.Fatal(res.err)
		}
		made[res.r.ID()]++
		if res.created {
			creators++
		}
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if creators != 1 || len(made) != 1 || made[r.ID()] == 0 {
		t.Errorf("%d creators, ids %v, the repository is %s", creators, made, r.ID())
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestOpenRefusesWhatIsNoRepository(t *testing.T) {
	r := newRepo(t)
	marker := filepath.Join(r.Dir(), markerName)
	good := string(read(t, marker))
	for name, content := range map[string]string{
		"empty":             "",
		"not JSON":          "redisbak",
		"no newline":        strings.TrimSuffix(good, "\n"),
		"more after it":     good + "\n",
		"other case":        strings.Replace(good, `"format"`, `"Format"`, 1),
		"format 0":          strings.Replace(good, `:1,`, `:0,`, 1),
		"id of other case":  strings.ToUpper(good),
		"short id":          `{"format":1,"id":"abc"}` + "\n",
		"member we know of": strings.Replace(good, `"}`, `","x":1}`, 1),
		"far too large":     strings.Repeat(" ", markerLimit) + good,
	} {
		write(t, marker, []byte(content))
		if _, err := Open(r.Dir()); err == nil {
			t.Errorf("%s: it opens", name)
		}
	}
	write(t, marker, []byte(`{"format":2,"id":"x","new":[]}`))
	var newer *snapshot.NewerFormatError
	if _, err := Open(r.Dir()); !errors.As(err, &newer) || newer.Format != 2 {
		t.Errorf("newer format: %v", err)
	}
	if err := os.Remove(marker); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{r.Dir(), filepath.Join(r.Dir(), "none")} {
		_, err := Open(dir)
		var none *NoRepositoryError
		if !errors.Is(err, ErrNoRepository) || !errors.As(err, &none) || none.Dir != dir {
			t.Errorf("no marker in %s: %v", dir, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	if _, err := Open(file); !errors.Is(err, ErrNoRepository) {
		t.Errorf("a file: %v", err)
	}
}

// mustHaveModes checks the modes of all that is in dir, and of dir.
func mustHaveModes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fileMode
		if d.IsDir() {
			want = dirMode
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %04o, want %04o", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFault44ModesWhateverTheUmask(t *testing.T) {
	for _, umask := range []int{0o000, 0o077, 0o777, 0o022} {
		old := unix.Umask(0o022)
		dir := filepath.Join(t.TempDir(), "parent", "repo")
		unix.Umask(umask)
		defer unix.Umask(old)
		r, _, err := Create(dir, MakeParents)
		if err != nil {
			t.Fatalf("umask %03o: %v", umask, err)
		}
		e := commit(t, r, "sessions", day(8), 1, nil)
		if _, err := r.UpdateMarks(t.Context(), e, func(m *snapshot.Marks) error { m.Pinned = true; return nil }); err != nil {
			t.Fatal(err)
		}
		keep, err := r.LockKeep(t.Context(), "sessions", 0)
		if err != nil {
			t.Fatal(err)
		}
		run, err := r.StartRun(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.StartRestore(record(run.ID(), e)); err != nil {
			t.Fatal(err)
		}
		mustHaveModes(t, filepath.Dir(dir))
		if err := errors.Join(run.End(), keep.Release()); err != nil {
			t.Fatal(err)
		}
		unix.Umask(old)
	}
}

func TestFault44SymlinkToARepository(t *testing.T) {
	r := newRepo(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(r.Dir(), link); err != nil {
		t.Fatal(err)
	}
	linked, err := Open(link)
	if err != nil {
		t.Fatal(err)
	}
	e := commit(t, linked, "sessions", day(8), 1, nil)
	mustBeWhole(t, r, e.Manifest.ID)
	if linked.Dir() != r.Dir() {
		t.Errorf("a linked repository is at %s, want %s", linked.Dir(), r.Dir())
	}
	empty := mkdir(t, filepath.Join(t.TempDir(), "empty"))
	other := filepath.Join(t.TempDir(), "other")
	if err := os.Symlink(empty, other); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(other); err != nil {
		t.Errorf("init of a link to an empty directory: %v", err)
	}
}

func TestFault44LooseDirectoriesAreToldOf(t *testing.T) {
	chmod := func(path string, mode fs.FileMode) {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		loosen func(parent, dir string)
		want   string // "": no warning
	}{
		{"tight", func(_, dir string) {}, ""},
		{"group may write", func(_, dir string) { chmod(dir, 0o770) }, "the repository %s is writable by others (mode 0770)"},
		{"all may write", func(_, dir string) { chmod(dir, 0o707) }, "the repository %s is writable by others (mode 0707)"},
		{"sticky does not help the repository", func(_, dir string) { chmod(dir, 0o777|fs.ModeSticky) }, "the repository %s is writable by others (mode 0777)"},
		{"all may write the parent", func(parent, _ string) { chmod(parent, 0o777) }, "the directory %p above the repository is writable by others (mode 0777)"},
		{"sticky parent", func(parent, _ string) { chmod(parent, 0o777|fs.ModeSticky) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRepo(t)
			parent := filepath.Dir(r.Dir())
			chmod(parent, 0o755)
			c.loosen(parent, r.Dir())
			opened, err := Open(r.Dir())
			if err != nil {
				t.Fatal(err)
			}
			want := strings.NewReplacer("%s", r.Dir(), "%p", parent).Replace(c.want)
			if got := strings.Join(opened.Warnings(), "; "); got != want {
				t.Errorf("warned %q, want %q", got, want)
			}
		})
	}
	// To anybody else, what is ours is foreign; what is root's is not.
	r := newRepo(t)
	if os.Geteuid() == 0 {
		if err := os.Lchown(r.Dir(), 1234, -1); err != nil {
			t.Fatal(err)
		}
	}
	got := strings.Join(looseness(r.Dir(), 4321), "; ")
	if !strings.Contains(got, "the repository "+r.Dir()+" belongs to another user (uid ") {
		t.Errorf("warned %q of a foreign repository", got)
	}
}

// An unmounted disk leaves an empty directory. It is neither "no snapshots"
// nor a place to write to.
func TestFault41RepositoryThatVanished(t *testing.T) {
	r := newRepo(t)
	e := commit(t, r, "sessions", day(8), 1, nil)
	lock, err := r.LockWriter(t.Context(), "sessions", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	if err := os.Rename(r.Dir(), r.Dir()+".away"); err != nil {
		t.Fatal(err)
	}
	mkdir(t, r.Dir())
	ctx := t.Context()
	for what, do := range map[string]func() error{
		"sources":     func() error { _, err := r.Sources(); return err },
		"list":        func() error { _, err := r.List(""); return err },
		"list one":    func() error { _, err := r.List("sessions"); return err },
		"get":         func() error { _, err := r.Get(string(e.Manifest.ID)); return err },
		"check":       func() error { _, err := r.Check(ctx, CheckOptions{}); return err },
		"lock writer": func() error { _, err := r.LockWriter(ctx, "sessions", 0, ""); return err },
		"lock keep":   func() error { _, err := r.LockKeep(ctx, "sessions", 0); return err },
		"begin":       func() error { _, err := r.Begin(ctx, "sessions", e.Manifest.ID, lock); return err },
		"run":         func() error { _, err := r.StartRun(ctx); return err },
		"restores":    func() error { _, err := r.Restores("sessions"); return err },
		"sweep":       func() error { return r.Sweep(ctx, "sessions") },
	} {
		if err := do(); !errors.Is(err, ErrNoRepository) {
			t.Errorf("%s in a repository that vanished: %v", what, err)
		}
	}
	if r.RunDead(strings.Repeat("0", 16)) {
		t.Error("a run is dead in a repository that vanished")
	}
	if names, _ := os.ReadDir(r.Dir()); len(names) > 0 {
		t.Errorf("%v was written into the mount point", names)
	}
	if _, err := Init(r.Dir()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.List(""); !errors.Is(err, ErrNoRepository) {
		t.Errorf("list of another repository in its place: %v", err)
	}
}
