package docker

import (
	"context"
	"net/http"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
)

// Follow calls changed once with "" when it listens, so that nothing is missed,
// and then with the id of each container that came, went, got another name or
// changed its state; not of helpers and verifiers of ours. It returns when the
// context ends or the engine stops to tell; the caller follows anew.
func (e *Engine) Follow(ctx context.Context, changed func(id string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	filter := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)))
	for _, action := range []events.Action{
		events.ActionCreate, events.ActionStart, events.ActionDie, events.ActionDestroy, events.ActionRename,
		events.ActionPause, events.ActionUnPause,
	} {
		filter.Add("event", string(action))
	}
	messages, errs := e.api.Events(ctx, events.ListOptions{Filters: filter})
	changed("")
	for {
		select {
		case m := <-messages:
			if role := m.Actor.Attributes[labelRole]; role == RoleHelper || role == RoleVerify {
				continue // they come and go with each snapshot
			}
			changed(m.Actor.ID)
		case err := <-errs:
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return e.fail(ctx, operation{method: http.MethodGet, path: "/events", what: "follow the engine's events"}, err)
		}
	}
}
