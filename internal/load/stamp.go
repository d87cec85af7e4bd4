package load

import (
	"bytes"
	"time"
)

// PayloadBytes is the size of the JSON value that every publication carries.
const PayloadBytes = 128

// Every payload is the object below, its two numbers in hexadecimal of fixed
// width so that they are found by position and read without a JSON decoder:
//
//	{"at":"<16 digits>","n":"<8 digits>","pad":"…"}
const (
	stampHead   = `{"at":"`
	stampMiddle = `","n":"`
	stampTail   = `","pad":"`
	atDigits    = 16
	seqDigits   = 8
	atPos       = len(stampHead)
	seqPos      = atPos + atDigits + len(stampMiddle)
	padPos      = seqPos + seqDigits + len(stampTail)
)

// appendStamp appends a payload of PayloadBytes bytes: when the publication was
// due, on the crowd's clock, and its number on its channel.
func appendStamp(dst []byte, at time.Duration, seq uint32) []byte {
	dst = append(dst, stampHead...)
	dst = appendHex(dst, uint64(at), atDigits)
	dst = append(dst, stampMiddle...)
	dst = appendHex(dst, uint64(seq), seqDigits)
	dst = append(dst, stampTail...)
	for range PayloadBytes - padPos - 2 {
		dst = append(dst, 'x')
	}
	return append(dst, '"', '}')
}

// findStamp returns where in p a payload begins, or -1. hint is where the last
// one was: frames of one channel hardly differ in length, so it is nearly always
// right, and then nothing is searched.
func findStamp(p []byte, hint int) int {
	if hint+PayloadBytes <= len(p) && string(p[hint:hint+atPos]) == stampHead {
		return hint
	}
	i := bytes.Index(p, []byte(stampHead))
	if i < 0 || i+PayloadBytes > len(p) {
		return -1
	}
	return i
}

// readStamp reads the payload that p begins with. ok is false if its digits are
// not what appendStamp wrote.
func readStamp(p []byte) (at time.Duration, seq uint32, ok bool) {
	if len(p) < PayloadBytes {
		return 0, 0, false
	}
	a, ok1 := parseHex(p[atPos : atPos+atDigits])
	s, ok2 := parseHex(p[seqPos : seqPos+seqDigits])
	return time.Duration(a), uint32(s), ok1 && ok2
}

const hexDigits = "0123456789abcdef"

func appendHex(dst []byte, v uint64, digits int) []byte {
	for shift := (digits - 1) * 4; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[v>>shift&0xF])
	}
	return dst
}

func parseHex(p []byte) (v uint64, ok bool) {
	for _, c := range p {
		switch {
		case c-'0' <= 9:
			v = v<<4 | uint64(c-'0')
		case c-'a' <= 5:
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
