package ringdown

import (
	"github.com/prometheus/client_golang/prometheus"

	"ringdown/internal/store"
)

var (
	storeCommitDesc    = desc("store_commit_seconds", "Time to commit a group of messages to the store.")
	storeFsyncDesc     = desc("store_fsync_seconds", "Time of one fsync of the store's journal.")
	storeItemsDesc     = desc("store_committed_total", "Messages and other things committed to the store; divided by its commits, the size of a group.")
	storeRefusedDesc   = desc("store_refused_total", "Messages refused because the store could not be written to.")
	storeForgottenDesc = desc("store_forgotten_total", "Channels that count no longer, since all of their messages have expired.")
	storeTrimmedDesc   = desc("store_trimmed_total", "Messages deleted because of their age or number.")
)

// storeDescs are not collected before there is a store.
var storeDescs = []*prometheus.Desc{storeCommitDesc, storeFsyncDesc, storeItemsDesc, storeRefusedDesc, storeTrimmedDesc, storeForgottenDesc}

// collectStore shows what the store counts.
func collectStore(ch chan<- prometheus.Metric, m *store.Metrics) {
	for d, h := range map[*prometheus.Desc]*store.Histogram{storeCommitDesc: &m.Latency, storeFsyncDesc: &m.Fsync} {
		count, sum, upTo := h.Read()
		buckets := make(map[float64]uint64, len(upTo))
		for i, n := range upTo {
			buckets[store.Bounds[i].Seconds()] = n
		}
		ch <- prometheus.MustNewConstHistogram(d, count, sum.Seconds(), buckets)
	}
	for d, v := range map[*prometheus.Desc]uint64{storeItemsDesc: m.Items.Load(), storeRefusedDesc: m.Refused.Load(), storeTrimmedDesc: m.Trimmed.Load(), storeForgottenDesc: m.Forgotten.Load()} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
}
