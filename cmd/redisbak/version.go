package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/redisbak/redisbak/snapshot"
)

// version is stamped by the build.
var version = ""

func (a *app) versionCommand() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if json {
				return a.document(map[string]any{"version": currentVersion(), "format": snapshot.Version, "go": runtime.Version()})
			}
			_, err := fmt.Fprintf(a.stdout, "redisbak %s, repository format %d, %s %s/%s\n",
				currentVersion(), snapshot.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print a JSON document")
	return cmd
}

func currentVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
