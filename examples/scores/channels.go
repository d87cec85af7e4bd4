package scores

import (
	"context"
	"encoding/json"

	"ringdown"
)

// Through returns srv's channels of leagues.
func Through(srv *ringdown.Server) Channels { return channels{srv} }

type channels struct{ server *ringdown.Server }

func (c channels) Tell(ctx context.Context, league, event, dedupe string, n News) error {
	_, err := c.server.Publish(ctx, "scores:"+league+":news", event, n, ringdown.WithDedupe(dedupe))
	return err
}

func (c channels) Post(ctx context.Context, league, id string, m *Match) error {
	_, err := c.server.Publish(ctx, "scores:"+league, "match", m, ringdown.WithKey(id))
	return err
}

func (c channels) Kept(ctx context.Context, league string) (matches []Match, news []News, err error) {
	st, err := c.server.State(ctx, "scores:"+league)
	if err != nil {
		return nil, nil, err
	}
	for _, stored := range st.Values {
		var m Match
		if err := json.Unmarshal(stored.Data, &m); err != nil {
			return nil, nil, err
		}
		matches = append(matches, m)
	}
	page, err := c.server.History(ctx, "scores:"+league+":news", ringdown.HistoryRange{Before: ringdown.End, Limit: 100})
	if err != nil {
		return nil, nil, err
	}
	for _, stored := range page.Messages {
		if stored.Event == "note" {
			continue
		}
		var n News
		if err := json.Unmarshal(stored.Data, &n); err != nil {
			return nil, nil, err
		}
		news = append(news, n)
	}
	return matches, news, nil
}
