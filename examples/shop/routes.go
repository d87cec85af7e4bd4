package shop

import (
	"embed"
	"io/fs"
	"math"
	"net/http"
	"strconv"

	"ringdown/examples/demo/stage"
)

const (
	maxBody   = 16 << 10
	maxOrders = 200
)

// Config is the configuration of the shop alone.
//
//go:embed ringdown.yaml
var Config []byte

//go:embed web pictures
var pages embed.FS

// Routes adds the shop's pages and its REST API to mux, all under /shop/.
func (s *Shop) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /shop/products", s.getProducts)
	mux.HandleFunc("GET /shop/inventory", s.getInventory)
	mux.HandleFunc("PUT /shop/inventory/{product}", s.as(s.putInventory))
	mux.HandleFunc("GET /shop/orders", s.as(s.getOrders))
	mux.HandleFunc("POST /shop/orders", s.as(s.postOrder))
	mux.HandleFunc("GET /shop/orders/{id}", s.as(s.getOrder))
	mux.HandleFunc("PATCH /shop/orders/{id}", s.as(s.patchOrder))
	mux.HandleFunc("POST /shop/orders/{id}/ship", s.as(s.shipOrder))

	web, _ := fs.Sub(pages, "web")
	pictures, _ := fs.Sub(pages, "pictures")
	mux.Handle("/shop/pictures/", http.StripPrefix("/shop/pictures", stage.Pages(pictures)))
	mux.Handle("/shop/", http.StripPrefix("/shop", stage.Pages(web)))
}

// as finds out who is calling before h, which answers or fails.
func (s *Shop) as(h func(w http.ResponseWriter, r *http.Request, who stage.Caller) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		who, err := s.gate.Caller(r)
		if err == nil {
			err = h(w, r, who)
		}
		if err != nil {
			stage.Refuse(w, err)
		}
	}
}

func (s *Shop) getProducts(w http.ResponseWriter, _ *http.Request) {
	stage.Reply(w, http.StatusOK, map[string]any{"currency": Currency, "products": catalogue})
}

func (s *Shop) getInventory(w http.ResponseWriter, _ *http.Request) {
	list, err := s.Inventory()
	if err != nil {
		stage.Refuse(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	stage.Reply(w, http.StatusOK, map[string]any{"inventory": list})
}

func (s *Shop) putInventory(w http.ResponseWriter, r *http.Request, who stage.Caller) error {
	var body struct {
		Count *int `json:"count"`
	}
	if err := stage.ReadJSON(w, r, maxBody, &body); err != nil {
		return err
	}
	if body.Count == nil {
		return bad(`say how many there are: {"count":12}`)
	}
	stock, err := s.SetStock(who, r.PathValue("product"), *body.Count)
	if err != nil {
		return err
	}
	stage.Reply(w, http.StatusOK, stock)
	return nil
}

func (s *Shop) getOrders(w http.ResponseWriter, r *http.Request, who stage.Caller) error {
	before, limit := uint64(math.MaxUint64), maxOrders
	var err error
	if q := r.URL.Query().Get("before"); q != "" {
		if before, err = strconv.ParseUint(q, 10, 64); err != nil {
			return bad("before is the id of an order")
		}
	}
	if q := r.URL.Query().Get("limit"); q != "" {
		if limit, err = strconv.Atoi(q); err != nil || limit < 1 || limit > maxOrders {
			return bad("limit is 1 to %d", maxOrders)
		}
	}
	list, err := s.Orders(who, before, limit)
	if err != nil {
		return err
	}
	stage.Reply(w, http.StatusOK, map[string]any{"orders": list})
	return nil
}

func (s *Shop) getOrder(w http.ResponseWriter, r *http.Request, who stage.Caller) error {
	id, err := orderID(r)
	if err != nil {
		return err
	}
	o, err := s.Order(who, id)
	if err != nil {
		return err
	}
	stage.Reply(w, http.StatusOK, o)
	return nil
}

func (s *Shop) postOrder(w http.ResponseWriter, r *http.Request, who stage.Caller) error {
	var d Draft
	if err := stage.ReadJSON(w, r, maxBody, &d); err != nil {
		return err
	}
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		d.Reference = key
	}
	o, placed, err := s.Place(who, d)
	if err != nil {
		return err
	}
	status := http.StatusOK // it was here before: asked for twice, placed once
	if placed {
		status = http.StatusCreated
	}
	w.Header().Set("Location", "/shop/orders/"+strconv.FormatUint(o.ID, 10))
	stage.Reply(w, status, o)
	return nil
}

func (s *Shop) patchOrder(w http.ResponseWriter, r *http.Request, who stage.Caller) error {
	id, err := orderID(r)
	if err != nil {
		return err
	}
	var c Change
	if err := stage.ReadJSON(w, r, maxBody, &c); err != nil {
		return err
	}
	o, err := s.Update(who, id, c)
	if err != nil {
		return err
	}
	stage.Reply(w, http.StatusOK, o)
	return nil
}

func (s *Shop) shipOrder(w http.ResponseWriter, r *http.Request, who stage.Caller) error {
	id, err := orderID(r)
	if err != nil {
		return err
	}
	o, err := s.Ship(who, id)
	if err != nil {
		return err
	}
	stage.Reply(w, http.StatusOK, o)
	return nil
}

func orderID(r *http.Request) (uint64, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, bad("the id of an order is a number, not %.20q", r.PathValue("id"))
	}
	return id, nil
}
