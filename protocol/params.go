package protocol

import (
	"errors"
	"strconv"
)

// Members calls f for each member of the JSON object p, in the order of the text,
// until f fails. Names are what they are to the letter: encoding/json would take
// "LIMIT" for limit, and other readers of the same text would not. The value
// aliases p. What is no object, or no valid JSON, is a bad_request *Error that
// calls p by name.
func Members(name string, p []byte, f func(member string, value []byte) error) error {
	if err := jsonFault(name, p); err != nil {
		return err
	}
	p = p[(&scanner{src: p}).space(0):]
	if p[0] != '{' {
		return Errorf(CodeBadRequest, "%s must be an object, not %s", name, kind(p))
	}
	if err := each(p, func(member string, value []byte) *Error { return AsError(f(member, value)) }); err != nil {
		return err
	}
	return nil
}

// Whole reads the value of a member as a whole number, nil for null. In which
// range it may be is for the caller.
func Whole(name string, value []byte) (*uint64, error) {
	if string(value) == "null" {
		return nil, nil
	}
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil && errors.Is(err, strconv.ErrRange) {
		return nil, Errorf(CodeBadRequest, "the field %s is too large", name)
	}
	if err != nil {
		return nil, Errorf(CodeBadRequest, "the field %s must be a whole number in digits, not %s", name, notWhole(value))
	}
	return &n, nil
}

// Number reads the value of a member as a number, nil for null.
func Number(name string, value []byte) (*float64, error) {
	if string(value) == "null" {
		return nil, nil
	}
	if k := kind(value); k != "a number" {
		return nil, Errorf(CodeBadRequest, "the field %s must be a number, not %s", name, k)
	}
	// A number beyond what a double holds becomes an infinity, which is as far
	// out of every range.
	n, _ := strconv.ParseFloat(string(value), 64)
	return &n, nil
}

// Text reads the value of a member as a string of at most so many bytes, "" for
// null.
func Text(name string, value []byte, most int) (string, error) {
	if string(value) == "null" {
		return "", nil
	}
	s, err := stringField(name, value, 0, most)
	if err != nil {
		return "", err
	}
	return s, nil
}
