// Package daemon is the use case that goes on by itself: it takes snapshots of
// its sources at their times, verifies and prunes as each is told to, keeps
// what it owes over a restart, and tells when something went wrong, above all
// when nothing happened.
//
// It promises:
//
//   - Each source has its own schedule and never two runs at once; ticks that
//     were missed are caught up once, and counted. That is the work of
//     [schedule.Runner].
//   - What failed is told after its retries: when it begins, when it fails for
//     another reason, and once a day while it goes on. That a snapshot was not
//     verified, or nothing pruned, is told once; that a source is overdue is told
//     once, whether runs fail or none begins; that it is well again is told once.
//     So is that the journal or a dead man's switch is out of reach.
//   - A source that was never backed up is overdue like any other.
//   - A run that takes longer than from tick to tick, or makes good for what was
//     missed, makes a source overdue only if it takes longer than the last one did.
//   - What it keeps ([Journal]) can be lost without harm: a source is new then.
//
// It does not know how a snapshot is taken, where messages go, or what a
// container is: a [Source] brings a function that does it.
package daemon
