package node

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"ringdown/protocol"
)

// Info describes an active channel.
type Info struct {
	Name        string
	Subscribers int
	Epoch       string // empty where nothing is kept
	Offset      uint64
}

// verbChannels asks a node for a page of its active channels.
const verbChannels = "channels"

type listRequest struct {
	Prefix, After string
	Limit         int
}

type listAnswer struct {
	Channels []Info
	More     bool
}

// List returns the channels that have subscribers, on any node, whose names
// begin with prefix and come after the name after, in order of their names, at
// most limit of them, and whether there are more. Subscribers are those of all
// nodes. It may block.
func (n *Node) List(ctx context.Context, prefix, after string, limit int) (page []Info, more bool, err error) {
	// The first so many of all are among the first so many of each.
	found := map[string]Info{}
	err = n.AskAll(ctx, verbChannels, listRequest{prefix, after, limit}, func(_ string, answer json.RawMessage) {
		var l listAnswer
		if json.Unmarshal(answer, &l) != nil {
			n.metrics.BadControl.Add(1)
			return
		}
		more = more || l.More
		for _, c := range l.Channels {
			sum := found[c.Name]
			c.Subscribers += sum.Subscribers
			if c.Epoch == sum.Epoch {
				c.Offset = max(c.Offset, sum.Offset)
			}
			found[c.Name] = c
		}
	})
	if err != nil {
		return nil, false, err
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if len(page) == limit {
			return page, true, nil
		}
		page = append(page, found[name])
	}
	return page, more, nil
}

// listHere answers verbChannels.
func (n *Node) listHere(_ context.Context, request json.RawMessage) (any, error) {
	var r listRequest
	if err := json.Unmarshal(request, &r); err != nil {
		return nil, err
	}
	var found []*Channel
	n.each(func(c *Channel) {
		if c.Name > r.After && strings.HasPrefix(c.Name, r.Prefix) && c.Subscribers() > 0 && !protocol.ServerOwned(c.Name) {
			found = append(found, c)
		}
	})
	slices.SortFunc(found, func(a, b *Channel) int { return strings.Compare(a.Name, b.Name) })
	var l listAnswer
	if len(found) > r.Limit {
		found, l.More = found[:max(r.Limit, 0)], true
	}
	for _, c := range found {
		l.Channels = append(l.Channels, c.Info())
	}
	return l, nil
}
