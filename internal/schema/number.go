package schema

import (
	"bytes"
	"cmp"
	"math/big"
	"strconv"
)

// small returns the value of a number that is a whole one of at most 18 digits,
// which nearly all are.
func small(literal []byte) (int64, bool) {
	digits := literal
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	n := int64(0)
	for _, c := range digits {
		if c -= '0'; c > 9 {
			return 0, false
		}
		n = n*10 + int64(c)
	}
	if literal[0] == '-' {
		n = -n
	}
	return n, true
}

// decimal is a number: digits × 10^exponent, where digits have no zero at either
// end. Zero has none.
type decimal struct {
	negative bool
	digits   []byte
	exponent int
}

// parse takes a number apart.
func parse(literal []byte) (d decimal) {
	mantissa := literal
	if i := bytes.IndexAny(literal, "eE"); i >= 0 {
		mantissa = literal[:i]
		d.exponent, _ = strconv.Atoi(string(bytes.TrimPrefix(literal[i+1:], []byte("+"))))
	}
	if len(mantissa) > 0 && mantissa[0] == '-' {
		d.negative, mantissa = true, mantissa[1:]
	}
	digits := mantissa
	if whole, fraction, ok := bytes.Cut(mantissa, []byte(".")); ok {
		digits = append(append(make([]byte, 0, len(mantissa)), whole...), fraction...)
		d.exponent -= len(fraction)
	}
	digits = bytes.TrimLeft(digits, "0")
	d.digits = bytes.TrimRight(digits, "0")
	d.exponent += len(digits) - len(d.digits)
	if len(d.digits) == 0 {
		return decimal{}
	}
	return d
}

// compare is negative if d is less than e, and positive if more.
func (d decimal) compare(e decimal) int {
	sign := func(x decimal) int {
		switch {
		case len(x.digits) == 0:
			return 0
		case x.negative:
			return -1
		}
		return 1
	}
	if s := sign(d); s != sign(e) || s == 0 {
		return s - sign(e)
	}
	// Both begin with a digit that is not zero, so how many stand before the point
	// decides, and then the digits from the first on.
	order := cmp.Compare(len(d.digits)+d.exponent, len(e.digits)+e.exponent)
	if order == 0 {
		order = bytes.Compare(d.digits, e.digits)
	}
	if d.negative {
		return -order
	}
	return order
}

// whole reports whether a number has no fraction, as 1.0 and 5e1 have none.
func whole(literal []byte) bool {
	if _, ok := small(literal); ok {
		return true
	}
	return parse(literal).exponent >= 0
}

// appendNumber writes the form that numbers of the same value have in common.
func appendNumber(dst, literal []byte) []byte {
	d := parse(literal)
	if d.negative {
		dst = append(dst, '-')
	}
	dst = append(dst, d.digits...)
	return strconv.AppendInt(append(dst, 'e'), int64(d.exponent), 10)
}

// bound is a number of a schema, to compare with.
type bound struct {
	exact   *big.Rat
	decimal decimal
	small   int64
	fits    bool // small is exact
}

func newBound(r *big.Rat) *bound {
	if r == nil {
		return nil
	}
	places, _ := r.FloatPrec() // all of them: it was written as a decimal number
	b := &bound{exact: r, decimal: parse([]byte(r.FloatString(places)))}
	if r.IsInt() && r.Num().IsInt64() {
		b.small, b.fits = r.Num().Int64(), true
	}
	return b
}

// compare is negative if the number is less than b, and positive if more.
func (b *bound) compare(literal []byte) int {
	if n, ok := small(literal); ok && b.fits {
		return cmp.Compare(n, b.small)
	}
	return parse(literal).compare(b.decimal)
}

// divides reports whether the number is a multiple of b, and what it took to
// find out: a fraction has as many digits as its exponent says.
func (b *bound) divides(literal []byte) (ok bool, steps int) {
	if n, ok := small(literal); ok && b.fits && b.small != 0 {
		return n%b.small == 0, 0
	}
	d := parse(literal)
	r, ok := new(big.Rat).SetString(string(literal))
	if !ok || b.exact.Sign() == 0 {
		return false, 1
	}
	return r.Quo(r, b.exact).IsInt(), 20 + (2*len(d.digits)+max(d.exponent, -d.exponent))/3
}
