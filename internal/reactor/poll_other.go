//go:build !linux

package reactor

import (
	"errors"
	"net"
	"net/netip"
)

// best is the engine that Options.Engine "" means.
const best = "std"

var errNoPoller = errors.New("reactor: only std drives connections on this system")

// No connection here has a descriptor of its own: peers drive them all.

func newPoller() (poller, error)                  { return nil, errNoPoller }
func detach(*net.TCPConn, Options) (int32, error) { return -1, errNoPoller }
func setLowat(*net.TCPConn, int)                  {}
func writeFD(int32, []byte) (int, error)          { return 0, errNoPoller }
func closeFD(int32)                               {}
func shutdownFD(int32)                            {}
func remoteFD(int32) netip.AddrPort               { return netip.AddrPort{} }
func deadFD(int32) bool                           { return false }
func deadTCP(*net.TCPConn) bool                   { return false }
