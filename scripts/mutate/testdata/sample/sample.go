// Package sample has a function that is tested well, one that is tested badly
// and one that is not.
package sample

// Clamp returns n, or the bound that it is beyond.
func Clamp(n, low, high int) int {
	if n < low {
		return low
	}
	if n > high && high >= low {
		n = high
	}
	return n
}

// Even reports whether n is even; its test looks at one number.
func Even(n int) bool {
	if n == 0 {
		return true
	}
	return n%2 == 0
}

// Wait ends when n is 0.
func Wait(n int) (rounds int) {
	for n > 0 {
		n--
		rounds++
	}
	return rounds
}

// Unused is not tested.
func Unused(a, b bool) bool { return a && !b }
