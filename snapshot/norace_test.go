//go:build !race

package snapshot

const (
	memoryLimit  = 20 << 20
	memoryStream = 320 << 20
)
