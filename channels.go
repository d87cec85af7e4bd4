package ringdown

import "context"

// Followed is a channel that somebody follows.
type Followed struct {
	Name        string
	Subscribers int    // on all nodes
	Epoch       string // empty where nothing is kept
	Offset      uint64 // of the newest message
}

// Channels returns the channels that somebody follows, on any node, whose names begin
// with prefix, in order of their names. A program that makes up its data asks it whether
// anybody looks. Errors are *protocol.Error, or ctx's.
func (s *Server) Channels(ctx context.Context, prefix string) ([]Followed, error) {
	var list []Followed
	for after := ""; ; after = list[len(list)-1].Name {
		page, more, err := s.node.List(ctx, prefix, after, channelsPage)
		if err != nil {
			return nil, err
		}
		for _, c := range page {
			list = append(list, Followed{Name: c.Name, Subscribers: c.Subscribers, Epoch: c.Epoch, Offset: c.Offset})
		}
		if !more || len(page) == 0 {
			return list, nil
		}
	}
}

const channelsPage = 1000
