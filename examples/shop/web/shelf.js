// What the customer's and the staff's page share: the products, the live stock,
// and a table of orders in which the newest version always wins.

import {el} from '/demo/assets/page.js';

// followStock keeps stock (product → count) true: first what the server has,
// then every change. changed(product, count) is called for each.
export function followStock(line, changed) {
  const stock = new Map();
  const set = ({product, count}) => {
    const before = stock.get(product);
    stock.set(product, count);
    changed(product, count, before);
  };
  line.subscribe('inventory', {
    // Fetched after subscribing, so that no change falls between the two; what
    // arrives live during the fetch is newer than its answer.
    async subscribed() {
      const seen = new Set();
      this.seen = seen;
      const {inventory} = await getJSON('/shop/inventory').catch(() => ({inventory: []}));
      for (const item of inventory) if (!seen.has(item.product)) set(item);
      if (this.seen === seen) this.seen = undefined;
    },
    message(m) {
      if (m.type !== 'inventory-changed' || !m.data) return;
      this.seen?.add(m.data.product);
      set(m.data);
    },
  });
  return stock;
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
