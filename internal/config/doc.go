// Package config is what the daemon is told to do: one validated Config out of
// its file, the environment and the options of its command line, and a Source
// out of the labels of a container.
//
// It promises:
//
//   - What is not understood is refused. An unknown key, a key given twice, a
//     value of the wrong type, a bad schedule, a secret file that is not there:
//     each is a Fault with its place, its key and, where there is one, the
//     nearest right name; and all of them are told together.
//   - An option goes before the environment, the environment before the file,
//     the file before the default. A list or a retention replaces the whole of
//     the one before.
//   - No secret is in a Fault, a Warning, or in what Config, Source and Secret
//     print, in whatever way they are printed. What Show writes is the effective
//     configuration, and parses to the same one.
//   - One table of keys (keys.go) is behind reading, the environment, labels,
//     hints and Show. docs/configuration.md is held against it by a test.
//
// It does not know how a schedule is written: that is checked by a function
// that it is given. It reads secret files only to see that they are there and
// hold something; Secret.Read reads them when they are used, so that a changed
// one needs no restart. It looks for no container, opens no repository and asks
// no server.
package config
