package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// This file reads answers of HTTP/1.1 in the buffer that they came in.

var (
	headEnd    = []byte("\r\n\r\n")
	lineEnd    = []byte("\r\n")
	chunkedTag = []byte("\r\nTransfer-Encoding: chunked\r\n")
	lengthTag  = []byte("\r\nContent-Length: ")
	okLine     = []byte("HTTP/1.1 200 ")
	errNoHTTP  = errors.New("load: this is no answer of HTTP/1.1")
)

// maxAnswer is the longest head, chunk or body that is waited for.
const maxAnswer = 16 << 20

// answerHead returns the length of the head that p begins with, its last line end
// included, 0 while it is not all there. Anything but 200 is an error with what the
// server says.
func answerHead(p []byte) (n int, err error) {
	end := bytes.Index(p, headEnd)
	if end < 0 {
		if len(p) > maxAnswer {
			return 0, errNoHTTP
		}
		return 0, nil
	}
	if !bytes.HasPrefix(p, okLine) {
		line, _, _ := bytes.Cut(p, lineEnd)
		return 0, fmt.Errorf("%w: %s %.300s", errRefused, line, p[end+len(headEnd):])
	}
	return end + len(headEnd), nil
}

// wholeAnswer returns the body of the answer that p begins with, and the length of
// both; n is 0 while it is not all there.
func wholeAnswer(p []byte) (body []byte, n int, err error) {
	head, err := answerHead(p)
	if head == 0 || err != nil {
		return nil, 0, err
	}
	top := p[:head-len(lineEnd)] // with the line end of its last field
	if bytes.Contains(top, chunkedTag) {
		return wholeChunks(p, head)
	}
	at := bytes.Index(top, lengthTag)
	if at < 0 {
		return nil, 0, fmt.Errorf("%w: it does not say how long it is", errNoHTTP)
	}
	digits, _, _ := bytes.Cut(top[at+len(lengthTag):], lineEnd)
	length, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil || length > maxAnswer {
		return nil, 0, fmt.Errorf("%w: a length of %.20q", errNoHTTP, digits)
	}
	if n = head + int(length); len(p) < n {
		return nil, 0, nil
	}
	return p[head:n], n, nil
}

// wholeChunks puts together the body of chunks that begins at at.
func wholeChunks(p []byte, at int) (body []byte, n int, err error) {
	for {
		data, used, err := chunk(p[at:])
		if used == 0 || err != nil {
			return nil, 0, err
		}
		at += used
		if len(data) == 0 {
			return body, at, nil
		}
		body = append(body, data...)
	}
}

// chunk returns the data of the chunk that p begins with, none in the last one, and the
// length of the chunk with its frame; n is 0 while it is not all there.
func chunk(p []byte) (data []byte, n int, err error) {
	end := bytes.Index(p, lineEnd)
	if end < 0 {
		if len(p) > 16 {
			return nil, 0, fmt.Errorf("%w: a chunk of %.16q", errNoHTTP, p)
		}
		return nil, 0, nil
	}
	size, err := strconv.ParseUint(string(p[:end]), 16, 64)
	if err != nil || size > maxAnswer {
		return nil, 0, fmt.Errorf("%w: a chunk of %.16q", errNoHTTP, p[:end])
	}
	begin := end + len(lineEnd)
	n = begin + int(size) + len(lineEnd)
	if len(p) < n {
		return nil, 0, nil
	}
	return p[begin : begin+int(size)], n, nil
}
