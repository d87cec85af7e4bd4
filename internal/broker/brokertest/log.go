package brokertest

import (
	"context"

	"ringdown/internal/broker"
)

// Log is a driver's log with some of its methods replaced, for tests of what is
// built on drivers.
type Log struct {
	broker.Log
	OnAppend func(p *broker.Publication, d broker.Done)
	OnFollow func(f broker.Follower) broker.Subscription
	OnRead   func(ctx context.Context, r broker.Range) (broker.Page, error)
	OnState  func(ctx context.Context, r broker.StateRange) (broker.StatePage, error)
}

// Append implements broker.Log.
func (l *Log) Append(p *broker.Publication, d broker.Done) {
	if l.OnAppend == nil {
		l.Log.Append(p, d)
		return
	}
	l.OnAppend(p, d)
}

// Follow implements broker.Log.
func (l *Log) Follow(f broker.Follower) broker.Subscription {
	if l.OnFollow == nil {
		return l.Log.Follow(f)
	}
	return l.OnFollow(f)
}

// Read implements broker.Log.
func (l *Log) Read(ctx context.Context, r broker.Range) (broker.Page, error) {
	if l.OnRead == nil {
		return l.Log.Read(ctx, r)
	}
	return l.OnRead(ctx, r)
}

// State implements broker.Log.
func (l *Log) State(ctx context.Context, r broker.StateRange) (broker.StatePage, error) {
	if l.OnState == nil {
		return l.Log.State(ctx, r)
	}
	return l.OnState(ctx, r)
}
