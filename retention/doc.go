// Package retention decides which snapshots of one source stay, and why each
// stays or goes. It is arithmetic: no clock, no disk, no repository. The time
// is an argument, and a [Decision] is a value that can be printed before
// anything is deleted. Whoever deletes, prunes.
//
// It promises that of good snapshots at least one stays, and the newest good
// one and the newest verified one always; that a pinned one stays, and one of
// which something cannot be read; that a snapshot which is not good takes no
// good one's place; that clocks which cannot be right, be they the source's
// or this host's, cost no snapshot, but for one case: a clock that is ahead now
// and was ahead then looks right; that the order of the input does not matter;
// and that what it decided to keep, it decides to keep again.
//
// It does not judge: what is good, verified or pinned, the caller says.
package retention
