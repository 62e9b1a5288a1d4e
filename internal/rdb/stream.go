package rdb

const (
	streamIDSize = 16 // as it stands in lists of pending entries
	timeSize     = 8  // milliseconds
)

// stream skips a stream: its entries, its counters and its consumer groups.
func (w *walker) stream(s shape) error {
	if err := w.repeat(w.pair); err != nil { // first ID, listpack of entries
		return err
	}
	counters := 3 // entries, last ID
	if s >= shapeStream2 {
		counters += 5 // first ID, highest deleted ID, entries ever added
	}
	if err := w.lengths(counters); err != nil {
		return err
	}
	return w.repeat(func() error { return w.group(s) })
}

func (w *walker) group(s shape) error {
	if err := w.skipString(); err != nil { // name
		return err
	}
	counters := 2 // last delivered ID
	if s >= shapeStream2 {
		counters++ // entries read
	}
	if err := w.lengths(counters); err != nil {
		return err
	}
	if err := w.repeat(w.pending); err != nil {
		return err
	}
	return w.repeat(func() error { return w.consumer(s) })
}

// pending skips one entry that a group has delivered and not seen acknowledged:
// its ID, when it was delivered and how often.
func (w *walker) pending() error {
	if err := w.skip(streamIDSize + timeSize); err != nil {
		return err
	}
	return w.lengths(1)
}

func (w *walker) consumer(s shape) error {
	times := uint64(timeSize) // last seen
	if s >= shapeStream3 {
		times += timeSize // last active
	}
	if err := w.skipStringAnd(times); err != nil {
		return err
	}
	return w.repeat(func() error { return w.skip(streamIDSize) })
}
