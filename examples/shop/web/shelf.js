// What the customer's and the staff's page share: the products, the live stock,
// and a table of orders in which the newest version always wins.

import {sync} from '/v1/client/all.js';
import {el} from '/demo/assets/page.js';

// followStock calls changed(product, count, before) for what there is of each product,
// and with every change. It returns the counts, by product.
export function followStock(client, changed) {
  const stock = new Map(), inventory = client.channel('inventory').state;
  inventory.on(({key}) => {
    for (const product of key === undefined ? inventory.keys() : [key]) {
      const before = stock.get(product), count = inventory.get(product)?.count;
      if (count === undefined || count === before) continue;
      stock.set(product, count);
      changed(product, count, before);
    }
  });
  return stock;
}

// followOrders has the orders that may be seen: those of before, loaded once, and what
// is told of them, without a moment in between. arrived(order, news) may hear of an
// order twice; news is the type of what was told, undefined for what was loaded.
export function followOrders(client, api, arrived) {
  return sync(client.channel('orders'), {
    load: async () => ({data: (await api('/shop/orders')).orders}),
    loaded: (orders) => orders.forEach((order) => arrived(order)),
    apply: (m) => m.type.startsWith('order-') && arrived(m.data, m.type),
  });
}

export async function getJSON(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

// OrderBook holds orders by id. A REST answer and a live event may come in
// either order: an older version never replaces a newer one.
export class OrderBook {
  #orders = new Map();

  put(order) {
    const known = this.#orders.get(order.id);
    if (known && known.version >= order.version) return false;
    this.#orders.set(order.id, order);
    return true;
  }
  get(id) { return this.#orders.get(id); }
  get newestFirst() { return [...this.#orders.values()].sort((a, b) => b.id - a.id); }
}

export const things = (order) => order.lines.map((l) => `${l.quantity} × ${l.name}`).join(', ');

const stops = ['created', 'paid', 'packed', 'shipped'];
const words = {created: 'Placed', paid: 'Paid', packed: 'Packed', shipped: 'Shipped', cancelled: 'Cancelled', sending: 'Sending…'};

export const word = (status) => words[status] ?? status;

// track draws how far an order has come: a wire with four stops.
export function track(status) {
  const reached = stops.indexOf(status);
  const e = el('ol', {className: `track ${status}`, 'aria-label': `Status: ${word(status)}`});
  stops.forEach((stop, i) => e.append(el('li', {className: i <= reached ? 'done' : ''}, word(stop))));
  return e;
}
