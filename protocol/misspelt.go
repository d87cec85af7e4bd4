package protocol

// Misspelt returns the verb that was probably meant by a type which is none: the
// one of subscribe, unsubscribe, presence and history that is one edit away, a
// letter more, less or another, or two that changed places. "" is for none.
func Misspelt(typ string) (verb string) {
	for _, verb := range [...]string{TypeSubscribe, TypeUnsubscribe, TypePresence, TypeHistory} {
		if oneEdit(typ, verb) {
			return verb
		}
	}
	return ""
}

// oneEdit reports whether one edit makes b of a.
func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 || a == b {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	if a[i+1:] == b[i+1:] {
		return true
	}
	return i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
