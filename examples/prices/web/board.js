// board.js: the tables of prices. A price that moved has an arrow as well as a colour.

import {el, flash, money} from '/demo/assets/page.js';

const svg = (tag, attributes) => {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  return e;
};

// board makes a table of each market in parent; choose hears which share was pressed.
export function board(parent, {markets, every, points}, choose) {
  const rows = new Map(); // symbol → row
  for (const {id, name, shares} of markets) {
    const body = el('tbody');
    for (const share of shares) body.append(row(share));
    parent.append(el('section', {className: 'panel market', 'aria-labelledby': `market-${id}`},
      el('table', {}, el('caption', {id: `market-${id}`}, name),
        el('thead', {}, el('tr', {}, ...['Share', 'Course', 'Price', 'Today'].map((text) => el('th', {scope: 'col'}, text)))),
        body)));
  }

  function row({symbol, name, trail}) {
    const line = svg('polyline', {});
    const spark = svg('svg', {class: 'spark-line', viewBox: '0 0 80 24', preserveAspectRatio: 'none', 'aria-hidden': 'true'});
    spark.append(line);
    const press = el('button', {type: 'button', className: 'symbol', onclick: () => choose(symbol)}, el('b', {}, symbol), ' ', el('span', {}, name));
    const arrow = el('i', {'aria-hidden': 'true'});
    const amount = el('span', {className: 'tally'});
    const cell = el('td', {className: 'price'}, arrow, amount);
    const today = el('td', {className: 'today tally'});
    rows.set(symbol, {line, trail, press, arrow, amount, cell, today, name, price: undefined});
    return el('tr', {id: `share-${symbol}`}, el('th', {scope: 'row'}, press), el('td', {}, spark), cell, today);
  }

  // The line has a point every so often, whatever the pace: where nothing newer has come
  // it stays level.
  setInterval(() => {
    for (const r of rows.values()) {
      if (!r.price) continue;
      r.trail.push(r.price.price);
      if (r.trail.length > points) r.trail.shift();
      draw(r);
    }
  }, every);

  function draw({line, trail}) {
    const low = Math.min(...trail), range = Math.max(...trail) - low || 1;
    line.setAttribute('points', trail.map((price, i) => `${(i / (points - 1) * 80).toFixed(1)},${(22 - (price - low) / range * 20).toFixed(1)}`).join(' '));
  }
  for (const r of rows.values()) draw(r);

  return {
    price: (symbol) => rows.get(symbol)?.price?.price,
    name: (symbol) => rows.get(symbol)?.name,
    set(symbol, price, moved) {
      const r = rows.get(symbol);
      if (!r) return; // a market may list a share that this page does not know yet
      const before = r.price?.price ?? price.price;
      r.price = price;
      r.amount.textContent = money(price.price);
      if (price.price !== before) {
        const way = price.price > before ? 'up' : 'down';
        r.cell.dataset.way = way;
        r.arrow.textContent = way === 'up' ? '▲' : '▼';
        if (moved) flash(r.cell);
      }
      const change = (price.price / price.open - 1) * 100;
      r.today.textContent = `${change < 0 ? '−' : '+'}${Math.abs(change).toFixed(2)} %`;
      r.today.dataset.way = change < 0 ? 'down' : 'up';
      r.line.parentNode.dataset.way = r.today.dataset.way;
    },
    mark(symbol) {
      for (const [name, r] of rows) r.press.setAttribute('aria-pressed', name === symbol);
    },
  };
}
