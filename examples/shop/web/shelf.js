// What the customer's and the staff's page share: the products, the live stock,
// and a table of orders in which the newest version always wins.

import {sync} from '/v1/client/all.js';
import {el} from '/demo/assets/page.js';

// followStock keeps stock (product → count) true: first what the server has, then
// every change. changed(product, count, before) is called for each.
export function followStock(client, changed) {
  const stock = new Map();
  const set = ({product, count}) => {
    const before = stock.get(product);
    stock.set(product, count);
    changed(product, count, before);
  };
  sync(client.channel('inventory'), {
    load: async () => ({data: (await getJSON('/shop/inventory')).inventory}),
    loaded: (inventory) => inventory.forEach(set),
    apply: ({data}) => data && set(data),
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
