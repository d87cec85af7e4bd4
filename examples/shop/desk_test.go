package shop

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ringdown/protocol"
)

func TestPlace(t *testing.T) {
	s, a := newShop(t)
	d := Draft{Note: "for the cat", Lines: []Wanted{{"bell-collar", 2}, {"sun-lamp", 1}, {"bell-collar", 1}}}
	o := mustPlace(t, s, ann, d)
	if o.ID != 1 || o.Version != 1 || o.Customer != "ann" || o.Status != Created || o.Note != d.Note {
		t.Errorf("placed %+v", o)
	}
	if want := int64(3*1450 + 3490); o.Total != want || len(o.Lines) != 2 || o.Lines[0].Quantity != 3 {
		t.Errorf("total %d in %v, want %d with the collars on one line", o.Total, o.Lines, want)
	}
	if left := stockOf(t, s, "bell-collar"); left != 21 {
		t.Errorf("%d collars left, want 21", left)
	}
	e := a.next(t, "inventory")
	if e.Key != "bell-collar" || string(e.Data) != `{"product":"bell-collar","count":21}` {
		t.Errorf("the inventory heard %s %s", e.Key, e.Data)
	}
	e = a.next(t, "orders")
	var told Order
	if err := json.Unmarshal(e.Data, &told); err != nil || e.Type != "order-created" || told.ID != 1 || told.Total != o.Total {
		t.Errorf("orders heard %s %s (%v)", e.Type, e.Data, err)
	}
}

func TestPlaceRefuses(t *testing.T) {
	s, _ := newShop(t)
	many := make([]Wanted, MaxLines+1)
	for i := range many {
		many[i] = Wanted{"bird-swing", 1}
	}
	tests := []struct {
		name  string
		draft Draft
		code  protocol.Code
	}{
		{"no lines", Draft{}, protocol.CodeBadRequest},
		{"too many lines", Draft{Lines: many}, protocol.CodeBadRequest},
		{"nothing of it", one("bird-swing", 0), protocol.CodeBadRequest},
		{"less than nothing", one("bird-swing", -3), protocol.CodeBadRequest},
		{"too many of it", one("bird-swing", MaxQuantity+1), protocol.CodeBadRequest},
		{"too many in two lines", Draft{Lines: []Wanted{{"bird-swing", 60}, {"bird-swing", 60}}}, protocol.CodeBadRequest},
		{"no such product", one("dragon", 1), protocol.CodeBadRequest},
		{"long note", Draft{Lines: one("bird-swing", 1).Lines, Note: strings.Repeat("ü", MaxNote+1)}, protocol.CodeBadRequest},
		{"long reference", Draft{Lines: one("bird-swing", 1).Lines, Reference: strings.Repeat("r", MaxReference+1)}, protocol.CodeBadRequest},
		{"for somebody else", Draft{Lines: one("bird-swing", 1).Lines, Customer: "ben"}, protocol.CodeForbidden},
		{"more than there are", one("scratch-post", 7), protocol.CodeConflict},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := s.Place(ann, test.draft)
			wantCode(t, err, test.code)
		})
	}
	if _, _, err := s.Place(staff, Draft{Lines: one("bird-swing", 1).Lines, Customer: "a:b"}); err == nil {
		t.Error("an order for a user with ':' in the name was taken")
	}
	list, err := s.Orders(staff, 1<<62, 10)
	if err != nil || len(list) != 0 {
		t.Errorf("after refusals there are orders %v (%v)", list, err)
	}
}

// A refused order takes nothing, even of what there was enough of.
func TestPlaceIsAllOrNothing(t *testing.T) {
	s, a := newShop(t)
	_, _, err := s.Place(ann, Draft{Lines: []Wanted{{"bell-collar", 2}, {"scratch-post", 7}}})
	short, ok := errors.AsType[*StockError](err)
	if !ok || short.Product.ID != "scratch-post" || short.Left != 6 {
		t.Fatalf("error is %v, want one that names the posts", err)
	}
	if left := stockOf(t, s, "bell-collar"); left != 24 {
		t.Errorf("%d collars left, want all 24", left)
	}
	mustPlace(t, s, ann, one("sun-lamp", 1))
	if e := a.next(t, "inventory"); e.Key != "sun-lamp" {
		t.Errorf("the refused order was heard: %s", e.Data)
	}
}

func TestTheLastOnesAreSoldOnce(t *testing.T) {
	s, _ := newShop(t)
	const buyers = 24
	var sold atomic.Int32
	var wg sync.WaitGroup
	for range buyers {
		wg.Go(func() {
			_, _, err := s.Place(ann, one("sun-lamp", 1))
			if err == nil {
				sold.Add(1)
			} else {
				wantCode(t, err, protocol.CodeConflict)
			}
		})
	}
	wg.Wait()
	if left := stockOf(t, s, "sun-lamp"); sold.Load() != 8 || left != 0 {
		t.Errorf("%d sold and %d left of 8", sold.Load(), left)
	}
}

func TestTheSameReferenceIsTheSameOrder(t *testing.T) {
	s, _ := newShop(t)
	d := one("sun-lamp", 2)
	d.Reference = "r1"
	first := mustPlace(t, s, ann, d)
	again, placed, err := s.Place(ann, d)
	if err != nil || placed || again.ID != first.ID {
		t.Errorf("asked again: order %+v, placed %t, %v; want order %d", again, placed, err, first.ID)
	}
	if left := stockOf(t, s, "sun-lamp"); left != 6 {
		t.Errorf("%d left, want 6: taken once", left)
	}
	if other := mustPlace(t, s, ben, d); other.ID == first.ID {
		t.Error("ben got ann's order by guessing its reference")
	}
}

func TestUpdate(t *testing.T) {
	note, version := "ring twice", 9
	fewer := []Wanted{{"sun-lamp", 1}}
	more := []Wanted{{"sun-lamp", 9}}
	tests := []struct {
		name   string
		at     Status // what the order is before
		staff  bool
		change Change
		code   protocol.Code // of the refusal; empty: it works
		lamps  int           // left of 8 in the end
	}{
		{"note", Created, false, Change{Note: &note}, "", 6},
		{"pay", Created, false, status(Paid), "", 6},
		{"pay twice", Paid, false, status(Paid), protocol.CodeConflict, 6},
		{"unpay", Paid, true, status(Created), protocol.CodeConflict, 6},
		{"customer packs", Paid, false, status(Packed), protocol.CodeForbidden, 6},
		{"staff packs", Created, true, status(Packed), "", 6},
		{"customer ships", Created, false, status(Shipped), protocol.CodeForbidden, 6},
		{"staff ships", Packed, true, status(Shipped), "", 6},
		{"ship twice", Shipped, true, status(Shipped), protocol.CodeConflict, 6},
		{"customer cancels", Paid, false, status(Cancelled), "", 8},
		{"customer cancels late", Packed, false, status(Cancelled), protocol.CodeConflict, 6},
		{"staff cancels late", Packed, true, status(Cancelled), "", 8},
		{"cancel what has left", Shipped, true, status(Cancelled), protocol.CodeConflict, 6},
		{"revive", Cancelled, true, status(Created), protocol.CodeConflict, 8},
		{"no such status", Created, true, status("eaten"), protocol.CodeBadRequest, 6},
		{"fewer", Created, false, Change{Lines: &fewer}, "", 7},
		{"more than there are", Created, false, Change{Lines: &more}, protocol.CodeConflict, 6},
		{"lines too late", Paid, false, Change{Lines: &fewer}, protocol.CodeConflict, 6},
		{"stale", Created, false, Change{Note: &note, Version: &version}, protocol.CodeConflict, 6},
		{"nothing", Created, false, Change{}, protocol.CodeBadRequest, 6},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, _ := newShop(t)
			o := mustPlace(t, s, ann, one("sun-lamp", 2))
			if test.at != Created {
				var err error
				if o, err = s.Update(staff, o.ID, status(test.at)); err != nil {
					t.Fatal(err)
				}
			}
			who := ann
			if test.staff {
				who = staff
			}
			changed, err := s.Update(who, o.ID, test.change)
			if test.code != "" {
				wantCode(t, err, test.code)
			} else if err != nil {
				t.Fatal(err)
			} else if changed.Version != o.Version+1 {
				t.Errorf("version %d, want %d", changed.Version, o.Version+1)
			}
			if left := stockOf(t, s, "sun-lamp"); left != test.lamps {
				t.Errorf("%d lamps left, want %d", left, test.lamps)
			}
		})
	}
}

func TestStrangersOrdersDoNotExist(t *testing.T) {
	s, _ := newShop(t)
	o := mustPlace(t, s, ann, one("bird-swing", 1))
	_, err := s.Order(ben, o.ID)
	wantCode(t, err, protocol.CodeNotFound)
	_, err = s.Update(ben, o.ID, status(Cancelled))
	wantCode(t, err, protocol.CodeNotFound)
	_, err = s.Order(staff, 99)
	wantCode(t, err, protocol.CodeNotFound)
}

func TestOrdersArePaged(t *testing.T) {
	s, _ := newShop(t)
	for i := range 9 {
		who := ann
		if i%3 == 0 {
			who = ben
		}
		mustPlace(t, s, who, one("bird-swing", 1))
	}
	ids := func(list []*Order, err error) (ids []uint64) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			ids = append(ids, o.ID)
		}
		return ids
	}
	tests := []struct {
		name string
		got  []uint64
		want []uint64
	}{
		{"staff", ids(s.Orders(staff, 1<<63, 4)), []uint64{9, 8, 7, 6}},
		{"staff, next page", ids(s.Orders(staff, 6, 4)), []uint64{5, 4, 3, 2}},
		{"ann", ids(s.Orders(ann, 1<<63, 9)), []uint64{9, 8, 6, 5, 3, 2}},
		{"ann, below 6", ids(s.Orders(ann, 6, 9)), []uint64{5, 3, 2}},
		{"ben", ids(s.Orders(ben, 1<<63, 9)), []uint64{7, 4, 1}},
		{"ben, below his first", ids(s.Orders(ben, 1, 9)), nil},
	}
	for _, test := range tests {
		if len(test.got) != len(test.want) {
			t.Errorf("%s: %v, want %v", test.name, test.got, test.want)
			continue
		}
		for i := range test.want {
			if test.got[i] != test.want[i] {
				t.Errorf("%s: %v, want %v", test.name, test.got, test.want)
				break
			}
		}
	}
}

func TestCustomersHearWhatOthersDid(t *testing.T) {
	s, a := newShop(t)
	o := mustPlace(t, s, ann, one("bird-swing", 1))
	if _, err := s.Update(ann, o.ID, status(Paid)); err != nil { // her own doing: no notification
		t.Fatal(err)
	}
	if _, err := s.Ship(staff, o.ID); err != nil {
		t.Fatal(err)
	}
	e := a.next(t, "user:ann:notifications")
	if want := `{"text":"Order 1 is on its way to you.","order":1,"status":"shipped"}`; e.Type != "notification" || string(e.Data) != want {
		t.Errorf("ann heard %s %s, want %s", e.Type, e.Data, want)
	}
}

func TestSetStock(t *testing.T) {
	s, a := newShop(t)
	if _, err := s.SetStock(staff, "sun-lamp", 0); err != nil {
		t.Fatal(err)
	}
	if e := a.next(t, "inventory"); string(e.Data) != `{"product":"sun-lamp","count":0}` {
		t.Errorf("heard %s", e.Data)
	}
	_, err := s.SetStock(ann, "sun-lamp", 5)
	wantCode(t, err, protocol.CodeForbidden)
	_, err = s.SetStock(staff, "dragon", 5)
	wantCode(t, err, protocol.CodeNotFound)
	for _, count := range []int{-1, MaxStock + 1} {
		_, err = s.SetStock(staff, "sun-lamp", count)
		wantCode(t, err, protocol.CodeBadRequest)
	}
}
