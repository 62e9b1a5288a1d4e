package docker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
)

// FindRedis returns the only running container that runs a Redis or Valkey
// server. ErrNoRedis: there is none; AmbiguousError names them where there are
// several. Helpers and verifiers of ours do not count.
func (e *Engine) FindRedis(ctx context.Context) (Container, error) {
	found, err := e.AllRedis(ctx)
	switch {
	case err != nil:
		return Container{}, err
	case len(found) == 0:
		return Container{}, ErrNoRedis
	case len(found) == 1:
		return e.inspect(ctx, found[0].ID, found[0].Name)
	}
	several := &AmbiguousError{Kind: "running Redis container"}
	for _, s := range found {
		several.Matches = append(several.Matches, s.Name)
	}
	return Container{}, several
}

// AllRedis lists the running containers that run a Redis or Valkey server, by
// name. Helpers and verifiers of ours do not count.
func (e *Engine) AllRedis(ctx context.Context) ([]Summary, error) {
	all, err := e.Containers(ctx, false)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(s Summary) bool { return !s.Running() || s.Passing() })
	found, err := e.servers(ctx, all)
	slices.SortFunc(found, func(a, b Summary) int { return strings.Compare(a.Name, b.Name) })
	return found, err
}

// servers keeps those that run a server, asking a few at a time.
func (e *Engine) servers(ctx context.Context, all []Summary) ([]Summary, error) {
	runs := make([]bool, len(all))
	errs := make([]error, len(all))
	slots := make(chan struct{}, 4)
	var wg sync.WaitGroup
	for i, s := range all {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			runs[i], errs[i] = e.runsServer(ctx, s)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var found []Summary
	for i, s := range all {
		if runs[i] {
			found = append(found, s)
		}
	}
	return found, nil
}

// runsServer asks for the process. Where the engine cannot list processes the
// image's name has to do.
func (e *Engine) runsServer(ctx context.Context, s Summary) (bool, error) {
	_, err := e.ServerProcess(ctx, s.ID)
	var several *AmbiguousError
	var gone *NotFoundError
	var denied *DeniedError
	var unreachable *UnreachableError
	var idle *IdleError
	switch {
	case err == nil, errors.As(err, &several):
		return true, nil
	case errors.Is(err, ErrNoServer), errors.As(err, &gone):
		return false, nil
	case ctx.Err() != nil, errors.As(err, &denied), errors.As(err, &unreachable), errors.As(err, &idle):
		return false, err
	}
	return namesServer(s.Image), nil
}

// namesServer reports whether an image reference is one of Redis or Valkey by
// its last part, and not of a tool for it.
func namesServer(image string) bool {
	name, _, _ := strings.Cut(image, "@")
	name = name[strings.LastIndex(name, "/")+1:]
	name, _, _ = strings.Cut(name, ":")
	if !strings.Contains(name, "redis") && !strings.Contains(name, "valkey") {
		return false
	}
	for _, tool := range []string{"exporter", "insight", "commander", "sentinel", "operator", "redisbak"} {
		if strings.Contains(name, tool) {
			return false
		}
	}
	return true
}
