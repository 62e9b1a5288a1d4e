// Command redisbak backs up and restores Redis servers that keep their data in
// Docker volumes.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	// A static binary in an image of its own has no certificates to trust.
	_ "golang.org/x/crypto/x509roots/fallback"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], world{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, environ: os.Environ})
	stop()
	os.Exit(code)
}
