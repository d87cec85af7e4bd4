package demo

import (
	"net"
	"strings"

	"rsc.io/qr"
)

// ownAddress returns an address of this machine that others in its network can
// reach, "" if it has none.
func ownAddress() string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range addresses {
		n, ok := a.(*net.IPNet)
		if ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return ""
}

// code draws a text as a QR code for a terminal: two rows in one line, the dark
// squares left empty and the light ones full, with the margin that readers need.
func code(text string) string {
	c, err := qr.Encode(text, qr.L)
	if err != nil {
		return ""
	}
	const margin = 2
	light := func(x, y int) bool { return !c.Black(x, y) } // beyond its edge nothing is black
	var b strings.Builder
	for y := -margin; y < c.Size+margin; y += 2 {
		b.WriteString("    ")
		for x := -margin; x < c.Size+margin; x++ {
			switch upper, lower := light(x, y), light(x, y+1); {
			case upper && lower:
				b.WriteString("█")
			case upper:
				b.WriteString("▀")
			case lower:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
