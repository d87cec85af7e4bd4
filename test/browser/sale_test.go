package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"ringdown/client"
	"ringdown/protocol"
)

const pieces = 100 // of each sale

// owners returns who has which number of a sale, as the channel says.
func (g *gallery) owners(sale int) map[int]string {
	g.t.Helper()
	var log struct {
		Messages []struct {
			Data struct {
				Sale, First int
				Buyers      []string
			}
		}
	}
	g.call("GET", "/v1/channels/sale:buyers/messages?limit=1000", "", http.StatusOK, &log)
	owners := map[int]string{}
	for _, m := range log.Messages {
		for i, who := range m.Data.Buyers {
			if m.Data.Sale != sale {
				continue
			}
			if was, twice := owners[m.Data.First+i]; twice {
				g.t.Errorf("number %d was told twice: of %s and %s", m.Data.First+i, was, who)
			}
			owners[m.Data.First+i] = who
		}
	}
	return owners
}

func TestSale(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "sale", "shop")
	ann := g.page(t, "/sale/?user=ann")
	second := g.tab(ann, "/sale/?user=ann")
	ben := g.page(t, "/sale/?user=ben")
	phase := func(is string, windows ...*window) {
		t.Helper()
		for _, w := range windows {
			w.wait(`document.querySelector('#sale').dataset.phase === ` + quote(is))
		}
	}
	phase("none", ann, second, ben)
	ann.click("#next")
	phase("coming", ann, second, ben)
	ben.shot("sale-coming")
	phase("open", ann, second, ben)

	// What one buys is theirs in each of their windows, and everybody hears of it.
	ann.click("#buy")
	ann.waitText("#mine .own", "Number 1 is yours")
	second.waitText("#mine .own", "Number 1 is yours")
	ben.waitText("#buyers", "ann")
	ben.waitText("#left", "99 of 100 left")

	// What is asked for while the network is cut is bought when it is back.
	g.cut()
	ben.lost()
	ben.click("#buy")
	ben.waitText("#mine .asked", "when the line is back")
	g.heal()
	for _, w := range []*window{ann, second, ben} {
		w.back()
	}
	ben.waitText("#mine .own", "Number 2 is yours")
	ann.waitText("#left", "98 of 100 left")

	// The rush, of which one page sleeps through all.
	second.freeze()
	ann.click("#rush")
	ann.waitText("#buyers", "rush-")
	ann.shot("sale-rush")
	phase("sold", ann, ben)
	second.thaw()
	second.back()
	phase("sold", second)
	second.waitText("#buyers", "No. 100")
	second.waitText("#mine .own", "Number 1 is yours")
	ann.shot("sale-sold")
	if n := ann.eval(`document.querySelector('#messages').textContent`); len(n) > 2 {
		t.Errorf("%s messages for %d pieces", n, pieces)
	}
	ann.wait(`document.querySelector('#buy').disabled`)
	if got := g.owners(1); len(got) != pieces || got[1] != "ann" || got[2] != "ben" {
		t.Errorf("sold to %v", got)
	}

	// The next one begins with nothing of this one.
	ben.click("#next")
	phase("coming", ann, second, ben)
	ann.waitText("#left", "100 of 100 left")
	ann.wait(`document.querySelectorAll('#mine li').length === 0`)
}

// The server is killed six times in the middle of a sale: every buyer is answered in the
// end, what was promised before a kill is still so after it, and none is sold twice.
func TestSaleSurvivesAKill(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "sale", "shop")
	ann := g.page(t, "/sale/?user=ann")
	ann.click("#next")
	ann.wait(`document.querySelector('#sale').dataset.phase === 'open'`)
	ann.click("#buy")
	ann.waitText("#mine .own", "Number 1 is yours")

	const waves, each = 6, 25
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	type outcome struct {
		number int
		err    error
	}
	outcomes := make([]outcome, waves*each)
	var all sync.WaitGroup
	for wave := range waves {
		begin, asked := make(chan struct{}), sync.WaitGroup{}
		for i := wave * each; i < (wave+1)*each; i++ {
			c, err := client.New("http://"+g.addr, client.WithToken(g.token(fmt.Sprintf("buyer-%03d", i))), client.WithBackoff(50*time.Millisecond, time.Second))
			if err == nil {
				err = c.Connect(ctx)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			asked.Add(1)
			all.Go(func() {
				<-begin
				asked.Done()
				outcomes[i].number, outcomes[i].err = insist(ctx, c, fmt.Sprintf("reference-%03d", i))
			})
		}
		close(begin)
		asked.Wait()
		// From before the first is written down to when all are answered: the kills
		// fall at another moment of it each time.
		time.Sleep(time.Duration(8+2*wave) * time.Millisecond)
		g.restart()
	}
	all.Wait()
	ann.back()
	ann.wait(`document.querySelector('#sale').dataset.phase === 'sold'`)
	ann.waitText("#buyers", "No. 100")

	owners := g.owners(1)
	told := map[int]bool{1: true} // ann's
	refused := 0
	for i, o := range outcomes {
		if o.err != nil {
			if refused++; client.Code(o.err) != protocol.CodeConflict {
				t.Errorf("buyer %d was told neither yes nor no: %v", i, o.err)
			}
			continue
		}
		if told[o.number] {
			t.Errorf("number %d was promised twice", o.number)
		}
		told[o.number] = true
		if want := fmt.Sprintf("buyer-%03d", i); owners[o.number] != want {
			t.Errorf("number %d was promised to %s, and is of %q", o.number, want, owners[o.number])
		}
	}
	if len(told) != pieces || len(owners) != pieces || refused != waves*each+1-pieces {
		t.Errorf("%d pieces were promised and %d are told, of %d; %d buyers were refused", len(told), len(owners), pieces, refused)
	}
}

// insist asks for a piece until there is an answer.
func insist(ctx context.Context, c *client.Client, reference string) (int, error) {
	for {
		var piece struct{ Number int }
		err := c.Call(ctx, "buy", map[string]any{"sale": 1, "reference": reference}, &piece)
		if err == nil {
			return piece.Number, nil
		}
		var e *client.Error
		if ctx.Err() != nil || !errors.As(err, &e) || !(e.Retryable || e.Code == client.CodeUnknown) {
			return 0, err
		}
	}
}

// token fetches tokens as a page does.
func (g *gallery) token(user string) client.TokenFunc {
	return func(ctx context.Context, _ client.TokenReason) (string, error) {
		r, err := http.NewRequestWithContext(ctx, "GET", g.server.url("/demo/token?user="+user), nil)
		if err != nil {
			return "", err
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		var body struct{ Token string }
		err = json.NewDecoder(answer.Body).Decode(&body)
		return body.Token, err
	}
}
