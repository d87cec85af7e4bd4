import {sync} from '/v1/client/all.js';
import {insist, Pending} from '/demo/assets/insist.js';
import {el, enter, flash, inPlace, money, clock, toast, userName} from '/demo/assets/page.js';
import {followStock, getJSON, OrderBook, things, track, word} from './shelf.js';

const $ = (id) => document.getElementById(id);
const {user, client, api} = enter(userName());
const {products} = await getJSON('/shop/products');
const byId = new Map(products.map((p) => [p.id, p]));
const basket = new Map(JSON.parse(sessionStorage.getItem('basket') ?? '[]').filter(([id]) => byId.has(id)));
const book = new OrderBook();
const pending = new Pending(`shop:${user}`); // orders on their way
const stock = followStock(client, showStock);

// ---- the shelf

for (const p of products) {
  $('products').append(el('li', {className: 'product', id: `product-${p.id}`, data: {species: p.species}},
    el('img', {src: p.picture, alt: '', width: 320, height: 240}),
    el('div', {className: 'words'},
      el('h2', {}, p.name),
      el('p', {className: 'about'}, p.description),
      el('p', {className: 'left', 'aria-live': 'off'}),
      el('div', {className: 'buy'},
        el('strong', {className: 'tally'}, money(p.price)),
        el('button', {className: 'pill small', type: 'button', disabled: true, 'aria-label': `Add ${p.name} to the basket`,
          onclick: () => put(p.id, +1)}, 'Add')))));
}

function showStock(id, count, before) {
  const card = $(`product-${id}`);
  if (!card) return;
  const left = card.querySelector('.left');
  left.textContent = count === 0 ? 'Sold out' : count < 6 ? `Only ${count} left` : `${count} in stock`;
  left.classList.toggle('few', count < 6);
  card.querySelector('button').disabled = count === 0;
  if (before !== undefined && before !== count) flash(left);
}

// ---- the basket

function put(id, by) {
  const wanted = (basket.get(id) ?? 0) + by;
  if (wanted > Math.min(99, stock.get(id) ?? 99)) return toast(`There are only ${stock.get(id)} of ${byId.get(id).name}.`, 'bad');
  if (wanted > 0) basket.set(id, wanted);
  else basket.delete(id);
  showBasket();
}

function showBasket() {
  sessionStorage.setItem('basket', JSON.stringify([...basket]));
  inPlace($('basket-lines'), [...basket.keys()], (id) => id, (id) => el('li', {className: 'line'},
    el('img', {src: byId.get(id).picture, alt: '', width: 64, height: 48}),
    el('span', {className: 'what'}, byId.get(id).name),
    el('span', {className: 'count'},
      el('button', {type: 'button', 'aria-label': `One ${byId.get(id).name} less`, onclick: () => put(id, -1)}, '−'),
      el('output', {className: 'tally'}),
      el('button', {type: 'button', 'aria-label': `One ${byId.get(id).name} more`, onclick: () => put(id, +1)}, '+')),
    el('span', {className: 'sum tally'})),
  (row, id) => {
    row.querySelector('output').value = basket.get(id);
    row.querySelector('.sum').textContent = money(byId.get(id).price * basket.get(id));
  });
  let count = 0, total = 0;
  for (const [id, n] of basket) {
    count += n;
    total += n * byId.get(id).price;
  }
  $('basket-empty').hidden = count > 0;
  $('basket-total').hidden = $('bar').hidden = count === 0;
  $('total').textContent = money(total);
  $('bar').textContent = `Basket: ${count} ${count === 1 ? 'thing' : 'things'}, ${money(total)}`;
}

// ---- ordering, by a call: shown at once, confirmed by its answer

$('checkout').onsubmit = (event) => {
  event.preventDefault();
  const lines = [...basket].map(([product, quantity]) => ({product, quantity}));
  if (lines.length === 0) return;
  const priced = lines.map((l) => ({...l, name: byId.get(l.product).name, price: byId.get(l.product).price}));
  const order = pending.add({
    note: $('note').value.trim(), status: 'sending', customer: user, created: new Date().toISOString(),
    lines: priced, total: priced.reduce((sum, l) => sum + l.price * l.quantity, 0),
  });
  basket.clear();
  $('note').value = '';
  showBasket();
  showOrders();
  $('orders').firstElementChild.focus(); // the button is gone, and here is what became of it
  place(order);
};

// Whether an order was placed is not known when the line breaks before the answer. Then it
// is asked again: the same reference is the same order.
async function place({reference, note, lines}) {
  try {
    const wanted = lines.map(({product, quantity}) => ({product, quantity}));
    const placed = await insist(client, 'order', {lines: wanted, note, reference});
    arrived(placed);
    toast(`Order ${placed.id} is placed. Thank you, ${user}.`);
  } catch (error) {
    pending.drop(reference);
    for (const {product, quantity} of lines) basket.set(product, (basket.get(product) ?? 0) + quantity);
    showBasket();
    toast(error.message, 'bad');
  }
  showOrders();
}

client.on('state', () => pending.size && showOrders());

// ---- my orders, live

sync(client.channel('orders'), {
  load: async () => ({data: (await api('/shop/orders')).orders}),
  loaded: (orders) => orders.forEach(arrived),
  apply: ({data}) => arrived(data),
});
client.channel(`user:${user}:notifications`).on('notification', ({text}) => toast(text));

function arrived(order) {
  if (order.customer !== user) return; // the channel tells of everybody's
  pending.drop(order.reference);
  if (book.put(order)) showOrders(order.id);
}

async function change(order, body) {
  try {
    arrived(await api(`/shop/orders/${order.id}`, {method: 'PATCH', body: {...body, version: order.version}}));
  } catch (error) {
    toast(error.message, 'bad');
  }
}

function showOrders(changed) {
  const list = [...[...pending.values()].reverse(), ...book.newestFirst];
  $('orders-empty').hidden = list.length > 0;
  inPlace($('orders'), list, (o) => o.reference ?? o.id, () => el('li', {className: 'panel order', tabIndex: -1}), (card, o) => {
    const version = `${o.status} ${o.version ?? client.state}`;
    if (card.dataset.version === version) return;
    card.dataset.version = version;
    const again = card.childElementCount > 0, focused = card.contains(document.activeElement);
    card.dataset.order = o.id ?? '';
    card.dataset.status = o.status;
    card.replaceChildren(
      el('p', {className: 'head'}, el('strong', {}, o.id ? `Order ${o.id}` : 'New order'), el('span', {className: 'quiet tally'}, clock(o.created)),
        el('strong', {className: 'tally'}, money(o.total))),
      el('p', {className: 'things'}, things(o)),
      o.note && el('p', {className: 'quiet things'}, `“${o.note}”`),
      o.status === 'sending' ? el('p', {className: 'quiet'}, client.state === 'live' ? word(o.status) : 'Will be sent when the line is back')
        : o.status === 'cancelled' ? el('p', {className: 'cancelled'}, word(o.status)) : track(o.status),
      el('p', {className: 'acts'},
        o.status === 'created' && el('button', {className: 'pill small', type: 'button', onclick: () => change(o, {status: 'paid'})}, 'Pay'),
        (o.status === 'created' || o.status === 'paid') &&
          el('button', {className: 'pill small plain', type: 'button', onclick: () => change(o, {status: 'cancelled'})}, 'Cancel')));
    if (focused) card.focus({preventScroll: true}); // its button may be gone
    if (again && o.id === changed) flash(card);
  });
}

showBasket();
pending.forEach(place); // of a page that was left before the answers came
showOrders();
