package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ringdown/internal/session"
	"ringdown/protocol"
)

const (
	defaultPage = 100
	maxPage     = 1000
)

// pageSize reads ?limit=.
func pageSize(r *http.Request) (int, error) {
	s := r.URL.Query().Get("limit")
	if s == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxPage {
		return 0, protocol.Errorf(protocol.CodeBadRequest, "limit must be from 1 to %d", maxPage)
	}
	return n, nil
}

type channelInfo struct {
	Channel     string `json:"channel"`
	Subscribers int    `json:"subscribers"`
	Epoch       string `json:"epoch,omitempty"`
	Offset      uint64 `json:"offset,omitempty"`
}

func (h *Handler) listChannels(w http.ResponseWriter, r *http.Request) error {
	limit, err := pageSize(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	page, more, err := h.opts.Load().Sessions.Node().List(r.Context(), q.Get("prefix"), q.Get("cursor"), limit)
	if err != nil {
		return err
	}
	list := make([]channelInfo, 0, len(page))
	for _, c := range page {
		list = append(list, channelInfo{c.Name, c.Subscribers, c.Epoch, c.Offset})
	}
	answer := map[string]any{"channels": list}
	if more {
		answer["cursor"] = page[len(page)-1].Name
	}
	return h.answer(w, http.StatusOK, answer)
}

type connectionInfo struct {
	Connection    string    `json:"connection"`
	User          string    `json:"user,omitempty"`
	Transport     string    `json:"transport"`
	RemoteAddr    string    `json:"remote_addr"`
	Opened        time.Time `json:"opened"`
	Subscriptions []string  `json:"subscriptions"`
}

func connectionInfoOf(i session.Info) connectionInfo {
	return connectionInfo{i.ID, i.User, i.Transport, i.RemoteAddr, i.Opened.UTC(), i.Subscriptions}
}

func (h *Handler) listConnections(w http.ResponseWriter, r *http.Request) error {
	limit, err := pageSize(r)
	if err != nil {
		return err
	}
	page, next, err := h.opts.Load().Sessions.Connections(r.Context(), r.URL.Query().Get("cursor"), limit)
	if err != nil {
		return err
	}
	list := make([]connectionInfo, 0, len(page))
	for _, i := range page {
		list = append(list, connectionInfoOf(i))
	}
	answer := map[string]any{"connections": list}
	if next != "" {
		answer["cursor"] = next
	}
	return h.answer(w, http.StatusOK, answer)
}

func (h *Handler) getConnection(w http.ResponseWriter, r *http.Request) error {
	i, err := h.opts.Load().Sessions.Connection(r.Context(), r.PathValue("connection"))
	if err != nil {
		return err
	}
	return h.answer(w, http.StatusOK, connectionInfoOf(i))
}

func (h *Handler) deleteConnection(w http.ResponseWriter, r *http.Request) error {
	if err := h.opts.Load().Sessions.Disconnect(r.Context(), r.PathValue("connection")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *Handler) deleteUser(w http.ResponseWriter, r *http.Request) error {
	user := r.PathValue("user")
	if err := protocol.ValidUser(user); err != nil {
		return err
	}
	n, err := h.opts.Load().Sessions.DisconnectUser(r.Context(), user)
	if err != nil {
		return err
	}
	return h.answer(w, http.StatusOK, map[string]int{"disconnected": n})
}

// live says that the process runs and its event loops answer.
func (h *Handler) live(w http.ResponseWriter, r *http.Request) error {
	if err := h.opts.Load().Sessions.Turn(r.Context()); err != nil {
		return err
	}
	return h.answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready says whether requests can be served now.
func (h *Handler) ready(w http.ResponseWriter, r *http.Request) error {
	if err := h.opts.Load().Ready(r.Context()); err != nil {
		return err
	}
	return h.answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (h *Handler) metrics(w http.ResponseWriter, r *http.Request) error {
	if h.opts.Load().Metrics == nil {
		return protocol.Errorf(protocol.CodeNotFound, "the metrics have an address of their own (metrics.listen)").WithReason("route")
	}
	if !h.opts.Load().Public {
		if err := h.requireKey(r); err != nil {
			return err
		}
	}
	promhttp.HandlerFor(h.opts.Load().Metrics, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	return nil
}

func (h *Handler) openAPI(w http.ResponseWriter, r *http.Request) error {
	return served(w, openapiJSON, nil)
}

func (h *Handler) asyncAPI(w http.ResponseWriter, r *http.Request) error {
	text, err := h.opts.Load().AsyncAPI()
	return served(w, text, err)
}

func served(w http.ResponseWriter, text []byte, err error) error {
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(text)
	return nil
}
