// Package docker is all that redisbak does with a Docker engine: it finds
// containers and volumes, copies files out of and into a volume, and boots a
// throw-away server. It is the only importer of github.com/docker/docker, and
// no type of that module crosses its border.
//
// # What it promises
//
// A container is created by one of three templates only: a helper (created,
// never started), a verifier (booted on a scratch volume, no network) and a
// recovery container (the user's). The final request goes through one guard
// before it is sent, and the guard refuses whatever the template does not
// allow. A container or a volume is deleted only after it was looked at and
// found to carry our labels with the same repository and run.
//
// A stream that ended too early is an error, however cleanly it ended: a file
// that is read to io.EOF is whole. A call or a stream that makes no progress
// ends with an [IdleError]. What leaves something behind in the engine has its
// undo beside it, and the undo works after the context has ended.
//
// # What it does not do
//
// It cannot tell whether the output of [Engine.Exec] is whole: a raw stream has
// no end of its own, so a script whose output matters must end it with a mark.
// It knows nothing of Redis but the name of its process. It never pulls unless
// [Engine.Pull] is called, never starts or stops a container that it did not
// create, and never asks the engine to remove a container by itself when it
// ends: the exit code would be lost with it.
package docker
