import {sync} from '/v1/client/all.js';
import {el, enter, flash, inPlace, money, clock, face, toast} from '/demo/assets/page.js';
import {followStock, getJSON, OrderBook, things, word} from './shelf.js';

const $ = (id) => document.getElementById(id);

// Whoever opens this page works here: it is a demo. The customer's name of this
// browser is left as it is.
const asked = new URLSearchParams(location.search).get('user') ?? '';
const name = /^staff(-|$)/.test(asked) ? asked : 'staff';
const {client, api} = enter(name);
const {products} = await getJSON('/shop/products');
const book = new OrderBook();

// ---- orders

const orders = client.channel('orders');
const failed = (error) => toast(error.message, 'bad');
orders.when('failed', ({error}) => failed(error));
sync(orders, {
  load: async () => ({data: (await api('/shop/orders')).orders}),
  loaded(list) {
    list.forEach((order) => book.put(order));
    show();
  },
  apply({type, data: order}) {
    if (!book.put(order)) return;
    show(order.id);
    if (type === 'order-created') toast(`${order.customer} ordered for ${money(order.total)}.`);
  },
  failed,
});

async function act(order, path, method, body) {
  try {
    const changed = await api(`/shop/orders/${order.id}${path}`, {method, body});
    if (book.put(changed)) show(changed.id);
  } catch (error) {
    failed(error);
  }
}

function show(changed) {
  const list = book.newestFirst;
  $('orders-empty').hidden = list.length > 0;
  const open = list.filter((o) => !['shipped', 'cancelled'].includes(o.status));
  $('summary').textContent = list.length === 0 ? 'Nothing to do yet.'
    : open.length === 0 ? `All ${list.length} orders are done.`
    : `${open.length} open of ${list.length}, worth ${money(open.reduce((sum, o) => sum + o.total, 0))}.`;
  inPlace($('orders'), list, (o) => o.id, () => el('tr'), (row, o) => {
    if (row.dataset.version === String(o.version)) return;
    row.dataset.version = o.version;
    row.dataset.order = o.id;
    row.dataset.status = o.status;
    const done = o.status === 'shipped' || o.status === 'cancelled';
    const button = (label, className, onclick) => el('button', {className: `pill small ${className}`, type: 'button', onclick,
      'aria-label': `${label} order ${o.id}`}, label);
    row.replaceChildren(
      el('td', {className: 'id'}, el('strong', {className: 'tally'}, `${o.id}`), el('span', {className: 'quiet tally'}, clock(o.created))),
      el('td', {className: 'who'}, face(o.customer), el('span', {}, o.customer)),
      el('td', {className: 'things'}, things(o), o.note && el('span', {className: 'quiet'}, ` “${o.note}”`)),
      el('td', {className: 'num tally'}, money(o.total)),
      el('td', {}, el('span', {className: `status ${o.status}`}, word(o.status))),
      el('td', {className: 'acts'},
        !done && button('Ship', '', () => act(o, '/ship', 'POST')),
        !done && o.status !== 'packed' && button('Pack', 'plain', () => act(o, '', 'PATCH', {status: 'packed', version: o.version})),
        !done && button('Cancel', 'plain', () => act(o, '', 'PATCH', {status: 'cancelled', version: o.version}))));
    if (o.id === changed) flash(row);
  });
}

// ---- inventory

for (const p of products) {
  const input = el('input', {className: 'field tally', type: 'number', min: 0, max: 100000, step: 1, inputMode: 'numeric', 'aria-label': `${p.name} in stock`,
    onchange: () => count(p, input)});
  const step = (by) => () => { input.value = Math.max(0, Number(input.value) + by); count(p, input); };
  $('inventory').append(el('li', {id: `stock-${p.id}`},
    el('img', {src: p.picture, alt: '', width: 64, height: 48}),
    el('span', {className: 'what'}, p.name),
    el('span', {className: 'count'},
      el('button', {type: 'button', 'aria-label': `One ${p.name} less`, onclick: step(-1)}, '−'),
      input,
      el('button', {type: 'button', 'aria-label': `One ${p.name} more`, onclick: step(+1)}, '+'))));
}

async function count(product, input) {
  try {
    await api(`/shop/inventory/${product.id}`, {method: 'PUT', body: {count: Math.trunc(Number(input.value))}});
  } catch (error) {
    input.value = stock.get(product.id);
    failed(error);
  }
}

const stock = followStock(client, (id, count, before) => {
  const row = $(`stock-${id}`);
  if (!row) return;
  const input = row.querySelector('input');
  if (Number(input.value) !== count || input.value === '') input.value = count;
  row.classList.toggle('few', count < 6);
  if (before !== undefined && before !== count) flash(row);
});
