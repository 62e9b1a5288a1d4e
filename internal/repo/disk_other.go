//go:build !linux

package repo

import "os"

// renameNoReplace renames, and refuses a target that exists.
func renameNoReplace(from, to string) error { return renameChecked(from, to) }

// dropCache does nothing here.
func dropCache(*os.File) {}

// fileSystem does not tell here.
func fileSystem(string) [2]int32 { return [2]int32{} }
