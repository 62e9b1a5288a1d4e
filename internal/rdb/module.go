package rdb

// Codes of the fields that make up a module's data. They say how to skip it
// without the module.
const (
	moduleEOF    = 0
	moduleSigned = 1
	moduleUint   = 2
	moduleFloat  = 3
	moduleDouble = 4
	moduleString = 5
)

// moduleAux skips what a module saved beside its keys: the type's ID, then a
// field that says when, then fields.
func (w *walker) moduleAux() error { return w.module() }

// module skips a module's value: the type's ID, then fields up to moduleEOF.
func (w *walker) module() error {
	id, err := w.length()
	if err != nil {
		return err
	}
	if len(w.modules) < maxModules {
		w.modules[id] = struct{}{}
	}
	for {
		at := w.offset()
		field, err := w.length()
		if err != nil {
			return err
		}
		switch field {
		case moduleEOF:
			return nil
		case moduleSigned, moduleUint:
			err = w.lengths(1)
		case moduleFloat:
			err = w.skip(4)
		case moduleDouble:
			err = w.skip(8)
		case moduleString:
			err = w.skipString()
		default:
			return w.unknown("module field", field, at)
		}
		if err != nil {
			return err
		}
	}
}

// moduleName decodes the name of a module data type: nine characters of six
// bits each. The ten bits below are the version of its encoding.
func moduleName(id uint64) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	var name [9]byte
	for i := range name {
		name[i] = alphabet[id>>(58-6*i)&63]
	}
	return string(name[:])
}
