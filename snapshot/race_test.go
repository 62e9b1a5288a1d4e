//go:build race

package snapshot

// The race detector makes pools of buffers forget a part of what they hold.
const (
	memoryLimit  = 40 << 20
	memoryStream = 80 << 20
)
