package protocol

// The two fields that have an inside of their own, since and channels, are rare
// and small, so they are gone through a second time, with a scanner that knows
// them to be valid.

// each calls f for every member of the valid JSON object p, until f fails.
func each(p []byte, f func(name string, value []byte) *Error) *Error {
	s := scanner{src: p}
	i, end := s.open(0)
	for !end {
		name, start := s.name(i, 0)
		i = s.value(start, 0)
		if err := f(name, p[start:i]); err != nil {
			return err
		}
		i, end = s.next(i, '}')
	}
	return nil
}

// sinceField reads {"epoch":string,"offset":number}.
func sinceField(name string, value []byte) (*Position, *Error) {
	if value[0] != '{' {
		return nil, Errorf(CodeBadRequest, "the field %s must be an object, not %s", name, kind(value))
	}
	var p Position
	var offset bool
	err := each(value, func(member string, value []byte) (err *Error) {
		switch member {
		case "epoch":
			p.Epoch, err = stringField(name+".epoch", value, 1, MaxEpoch)
		case "offset":
			offset = true
			p.Offset, err = wholeField(name+".offset", value)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case p.Epoch == "" || !offset:
		return nil, Errorf(CodeBadRequest, "the field %s must have epoch and offset", name)
	}
	return &p, nil
}

// channelsField reads an array of names and of {"channel":…,"since":…,"data":…}.
// How long a name is, it leaves to ValidChannel: a request for many channels
// fails channel by channel.
func channelsField(name string, value []byte) ([]Subscription, *Error) {
	if value[0] != '[' {
		return nil, Errorf(CodeBadRequest, "the field %s must be an array, not %s", name, kind(value))
	}
	s := scanner{src: value}
	var list []Subscription
	i := s.space(1)
	for end := value[i] == ']'; !end; {
		if len(list) == MaxBatch {
			return nil, Errorf(CodeBadRequest, "the field %s has more than %d items", name, MaxBatch)
		}
		start := i
		i = s.value(i, 0)
		sub, err := subscription(name, value[start:i])
		if err != nil {
			return nil, err
		}
		list = append(list, sub)
		i, end = s.next(i, ']')
	}
	if len(list) == 0 {
		return nil, Errorf(CodeBadRequest, "the field %s may not be empty", name)
	}
	return list, nil
}

func subscription(name string, value []byte) (sub Subscription, err *Error) {
	switch kind(value) {
	case "a string":
		sub.Channel = view(text(value))
		return sub, nil
	case "an object":
	default:
		return sub, Errorf(CodeBadRequest, "the items of %s must be strings or objects, not %s", name, kind(value))
	}
	named := false
	err = each(value, func(member string, value []byte) (err *Error) {
		switch member {
		case "channel":
			named = true
			sub.Channel, err = stringField(name+"[].channel", value, 0, len(value))
		case "since":
			sub.Since, err = sinceField(name+"[].since", value)
		case "data":
			sub.Data = value
		}
		return err
	})
	if err == nil && !named {
		err = Errorf(CodeBadRequest, "an item of %s has no channel", name)
	}
	return sub, err
}
