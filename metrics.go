package ringdown

import "github.com/prometheus/client_golang/prometheus"

// collector shows the counters that the rooms keep. They are plain atomics, so
// that counting costs the hot paths nothing else.
type collector struct{ s *Server }

var (
	connectionsDesc   = desc("connections", "Open connections.")
	transportDesc     = desc("transport_connections", "Open connections, by transport; of long-poll the requests that wait.", "transport")
	transportedDesc   = desc("transport_connections_opened_total", "Connections opened since the start, by transport.", "transport")
	openedDesc        = desc("connections_opened_total", "Connections opened since the start.")
	refusedDesc       = desc("connections_refused_total", "Connections refused before the upgrade, because of a limit or a drain.")
	tokensRefusedDesc = desc("tokens_refused_total", "Tokens that were not accepted.")
	receivedDesc      = desc("messages_received_total", "Messages that clients sent.")
	publishedDesc     = desc("messages_published_total", "Messages handed to the broker.")
	deliveriesDesc    = desc("deliveries_total", "Messages given to subscribers, each subscriber counted.")
	gapsDesc          = desc("gaps_total", "Gaps that subscribers were told of.")
	readsDesc         = desc("store_reads_total", "Pages read from a store that is not in memory, for who comes back or asks for the past.")
	readsSharedDesc   = desc("store_reads_shared_total", "Times that somebody was given a page that was on its way for somebody else.")
	panicsDesc        = desc("panics_total", "Panics caught; each cost one connection.")
	channelsDesc      = desc("channels", "Channels with subscribers here.")
	ringBytesDesc     = desc("ring_bytes", "Memory that the rings of all channels take.")
	membersDesc       = desc("presence_members", "Members of channels whom this node put in, the lingering ones among them.")
	presenceDesc      = desc("presence_changes_total", "Changes of members that were told to those who watch.")
	willsDesc         = desc("presence_wills_total", "Wills of members who were gone without saying so that were to be published.")
	willsRefusedDesc  = desc("presence_wills_refused_total", "Wills that were not accepted; the log says why.")
	relistsDesc       = desc("presence_lists_total", "Lists of members given to subscribers who were too slow for the changes.")
	holesDesc         = desc("redis_holes_total", "Times that a channel's feed did not continue and its log was read instead.")
	epochsDesc        = desc("redis_epochs_total", "Times that a followed channel went on in another epoch.")
	garbledDesc       = desc("redis_garbled_total", "Messages and entries in Redis that could not be read.")
	reconnectsDesc    = desc("redis_reconnects_total", "Times that the connection of the subscriptions was made anew.")
	refusalsDesc      = desc("refusals_total", "What was refused or cut off, by the door it came to, the code of the protocol, and what refused: a limit, a reason, or rule.", "door", "code", "reason")
	socketsDesc       = desc("sockets", "Open sockets of clients, by what they speak: http, while they make requests or wait for the next; stream, once they are WebSockets or streams.", "kind")
	socketRoomDesc    = desc("sockets_limit", "Sockets that there may be.")
	acceptedDesc      = desc("sockets_accepted_total", "Sockets accepted since the start.")
	madeRoomDesc      = desc("sockets_closed_for_room_total", "Connections that waited for their next request, or for their client, and were closed to make room for others.")
	stalledDesc       = desc("sockets_stalled_total", "Connections closed because the client took nothing of its answer, or did not send its request to the end.")
	unreadDesc        = desc("unread_answer_bytes", "Bytes of answers over HTTP that wait for their clients to take them.")
	errorsDesc        = desc("errors_total", "Error answers to clients, by code.", "code")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("ringdown_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(c, ch)
	ch <- errorsDesc
	ch <- socketsDesc
	ch <- refusalsDesc
	ch <- transportDesc
	ch <- transportedDesc
	for _, d := range storeDescs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	s, d, n, m := c.s.sessions.Metrics(), c.s.sessions.Delivery().Metrics(), c.s.node.Metrics(), c.s
	if m.redis != nil {
		r := m.redis.Metrics()
		count(holesDesc, r.Holes.Load())
		count(epochsDesc, r.Epochs.Load())
		count(garbledDesc, r.Garbled.Load())
		count(reconnectsDesc, r.Reconnect.Load())
	}
	sockets, speakHTTP := m.front.Open()
	for kind, n := range map[string]int{"http": speakHTTP, "stream": sockets - speakHTTP} {
		ch <- prometheus.MustNewConstMetric(socketsDesc, prometheus.GaugeValue, float64(n), kind)
	}
	gauge(socketRoomDesc, float64(m.front.Limit()))
	gauge(unreadDesc, float64(m.front.Unread()))
	f := m.front.Metrics()
	count(acceptedDesc, f.Accepted.Load())
	count(madeRoomDesc, f.MadeRoom.Load())
	count(stalledDesc, f.Stalled.Load())
	gauge(connectionsDesc, float64(m.sessions.Sessions()))
	s.Transports(func(name string, open int64, opened uint64) {
		ch <- prometheus.MustNewConstMetric(transportDesc, prometheus.GaugeValue, float64(open), name)
		count(transportedDesc, opened, name)
	})
	gauge(channelsDesc, float64(m.node.Channels()))
	gauge(ringBytesDesc, float64(m.node.RingBytes()))
	gauge(membersDesc, float64(m.node.Present()))
	count(presenceDesc, n.PresenceTold.Load())
	count(willsDesc, n.Wills.Load())
	count(willsRefusedDesc, n.WillsRefused.Load())
	count(relistsDesc, d.Relists.Load())
	count(openedDesc, s.Opened.Load())
	count(refusedDesc, s.Refused.Load())
	count(tokensRefusedDesc, s.TokensRefused.Load())
	count(receivedDesc, s.Received.Load())
	count(publishedDesc, n.Published.Load())
	count(deliveriesDesc, d.Deliveries.Load())
	count(gapsDesc, d.Gaps.Load())
	count(readsDesc, d.Reads.Load())
	count(readsSharedDesc, d.ReadsShared.Load())
	count(panicsDesc, s.Panics.Load())
	for k, v := range m.refusals.Counts() {
		count(refusalsDesc, v, k.Door, string(k.Code), k.Name)
	}
	for code, v := range s.Errors() {
		count(errorsDesc, v, string(code))
	}
	if m.kept != nil && m.kept.Started() {
		collectStore(ch, m.kept.Store().Metrics())
	}
}
