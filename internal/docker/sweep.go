package docker

import (
	"context"
	"errors"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
)

// Sweep removes what dead runs of this repository have left: helpers and
// verifiers, and then the verifiers' scratch volumes. Recovery containers and
// volumes are the user's and stay. It goes on past errors and joins them.
func (e *Engine) Sweep(ctx context.Context, repo string, dead func(run string) bool) error {
	if repo == NoRepo || !ownerWord.MatchString(repo) {
		return guard("a sweep of repository %q", repo)
	}
	list, err := e.list(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", labelRepo+"="+repo))})
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range list {
		if o, ok := leftover(c.Labels, repo, dead); ok {
			errs = append(errs, e.removeContainer(ctx, c.ID, o))
		}
	}
	volumes, err := e.volumesOf(ctx, repo)
	errs = append(errs, err)
	for _, v := range volumes {
		if o, ok := leftover(v.Labels, repo, dead); ok && o.Role == RoleVerify {
			errs = append(errs, e.removeVolume(ctx, v.Name, o))
		}
	}
	return errors.Join(errs...)
}

// leftover reports whether labels are those of a dead run's helper or verifier.
func leftover(labels map[string]string, repo string, dead func(run string) bool) (Owner, bool) {
	o, ok := OwnerOf(labels)
	if !ok || o.Repo != repo || o.Role == RoleRecovery {
		return o, false
	}
	return o, dead(o.Run)
}
