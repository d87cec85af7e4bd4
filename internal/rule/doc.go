// Package rule turns what stands under allow: in a configuration into
// channel.Rules: the words anyone, signed_in and none, and expressions of the
// Common Expression Language (CEL).
//
// An expression sees these variables and nothing else:
//
//	user        string               who is asking; empty when not signed in
//	claims      map(string, dyn)     what the token says; empty without one
//	params      map(string, string)  what the {names} of the channel's pattern stand for
//	channel     string               the channel's full name
//	event       string               the event being published; empty otherwise
//	connection  string               the connection's id
//	anyone, signed_in, none  bool    the words, to be joined with more conditions
//
// Rules are written by the operator and trusted; what they are asked about,
// above all claims and names, comes from clients and is not. So a decision has
// a budget of work (costLimit), regular expressions must stand in the rule
// itself, there is no way to reach the clock, the network or a file, and a rule
// that fails while it is being decided refuses.
package rule
