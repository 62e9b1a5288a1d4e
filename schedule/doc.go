// Package schedule turns cron expressions into times, and times into runs of
// jobs. A [Spec] is arithmetic: the time is an argument. A [Runner] has a clock,
// which is given to it, and keeps nothing on disk: whoever uses it keeps when a
// job was last begun, and hands that in after a restart.
//
// # Times
//
// A spec is read by the clock on the wall of one zone. What the clock shows, and
// when, is the question twice a year:
//
//   - A spec that names hours runs at the first instant at which the clock has
//     reached a time of it. A time in an hour that is skipped runs when the gap
//     is over, at once with what is due then anyway. A time in an hour that the
//     clock goes through twice runs in the first pass. That is one run for each
//     time on each day.
//   - A spec for all 24 hours (“0 * * * *”, “*/10 * * * *”, @hourly) goes by real
//     time: it runs at each instant at which the clock shows a time of it. The
//     hour that is skipped takes no time and has no run; the doubled one takes
//     two hours and has the runs of two.
//   - “@every 6h” knows no clock on the wall. It counts real time from the last
//     run, and from the start where there never was one.
//
// # Runs
//
// The Runner promises: one job never runs twice at once, and no more than so
// many jobs run at once, those that wait in the order in which they came. A
// tick that comes while its job still runs is skipped, and counted. For ticks
// that were missed, because the process was down, the machine slept or the clock
// was set forward, there is one run in their place, however many they were, and
// they are counted. A clock that is set back makes neither a storm nor a pause:
// what was run is not run again where the next tick is near, and else the
// schedule goes on from the time that it is now. A run that fails is tried again,
// and never beyond the next tick. When the context ends nothing begins, and Run
// returns after the last run has ended. All that happens is told to one
// function, in the order in which it happens.
//
// It looks at the wall clock once a minute at least, for timers do not see that
// it was set, and stand still while the machine sleeps. So a tick that is
// noticed up to a minute late is in time, and a jump is noticed within a minute.
//
// It does not promise a run: when nobody is there at a tick and nothing was
// kept of the last run, nobody knows of it.
package schedule
