package shop

import "ringdown/protocol"

// Currency is what every price and total is counted in; amounts are in cents.
const Currency = "EUR"

// Product is one thing on the shelf.
type Product struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Species string `json:"species"` // who it is for
	About   string `json:"description"`
	Price   int64  `json:"price"` // cents
	Picture string `json:"picture"`

	opening int // stock on the first day
}

var catalogue = []Product{
	product("bell-collar", "Night bell collar", "cat", "A brass bell on a soft strap. You will hear the moth hunt; so will the moth.", 1450, 24),
	product("rope-phone", "Rope telephone", "dog", "A knotted cotton handset for long conversations. Nobody at the other end ever hangs up.", 1290, 30),
	product("fish-castle", "Reef castle", "fish", "Glazed clay with three doors and a tower, so that everyone can be out when visitors come.", 2390, 12),
	product("bird-swing", "Wire swing", "bird", "Beech perch on a steel loop. Sways with the gossip.", 990, 40),
	product("hamster-wheel", "Quiet wheel", "hamster", "Runs on one ball bearing through the small hours and keeps it to itself.", 1990, 15),
	product("hay-tunnel", "Hay tunnel", "rabbit", "Woven meadow hay: a way through by Monday, a meal by Friday.", 1150, 18),
	product("sun-lamp", "Basking lamp", "tortoise", "Warm noon light for a slow customer. Clamp, shade and timer included.", 3490, 8),
	product("scratch-post", "Harbour post", "cat", "A mooring bollard wound with forty metres of sisal. The sofa sends its thanks.", 4250, 6),
}

func product(id, name, species, about string, price int64, opening int) Product {
	return Product{ID: id, Name: name, Species: species, About: about, Price: price, Picture: "/shop/pictures/" + id + ".svg", opening: opening}
}

func findProduct(id string) (*Product, error) {
	for i := range catalogue {
		if catalogue[i].ID == id {
			return &catalogue[i], nil
		}
	}
	return nil, protocol.Errorf(protocol.CodeNotFound, "there is no product %.60q: GET /shop/products lists them", id)
}
