// Package wsframe reads and writes WebSocket frames (RFC 6455) and the payloads
// of permessage-deflate (RFC 7692), in both directions.
//
// It is pure: it owns no connection, goroutine or timer, and keeps nothing
// between calls but what UTF8 and Inflater say they keep. A reader of frames
// uses it in this order:
//
//	ParseHeader   as often as bytes arrive, until it has a whole header
//	              (then compare Header.Length with a limit, before any buffer grows)
//	Mask          over the payload bytes that have come, a client's being masked
//	UTF8          over the payload of text, as it comes (RFC 6455 §8.1)
//	Inflate       over a whole message whose first frame had RSV1 set
//	ParseClose    over the payload of a close frame
//
// A writer builds a payload behind Headroom spare bytes and calls Finish, or
// writes AppendHeader and the payload. What RSV1 to RSV3 mean depends on the
// extensions of the connection, and whether a frame may come now on the frames
// before it: both are for the caller to check. All that is wrong in a single
// frame whatever the connection, ParseHeader refuses.
package wsframe
