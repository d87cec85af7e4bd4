// desk.js: the ticket, the account and the trades. What is shown as money and shares is
// what the server says; a trade is shown at once, and as what it is until it is answered.

import {clock, el, flash, inPlace, money, toast} from '/demo/assets/page.js';
import {insist, Pending} from '/demo/assets/insist.js';

const $ = (id) => document.getElementById(id);
const slack = 0.01; // the limit proposed lies so far from the price

export function desk(client, user, sheet, board) {
  const trades = new Map(); // id → trade
  const pending = new Pending(`prices:${user}`);
  let account = {version: -1, cash: sheet.cash, shares: {}};
  let touched = false; // the limit is the trader's own

  // ---- the ticket

  $('symbol').append(...sheet.markets.map(({name, shares}) => {
    const group = el('optgroup', {label: name});
    group.append(...shares.map((s) => el('option', {value: s.symbol}, `${s.symbol} · ${s.name}`)));
    return group;
  }));
  const side = () => $('ticket').elements.side.value;

  function propose() {
    board.mark($('symbol').value);
    $('limit-label').textContent = side() === 'buy' ? 'Pay at most' : 'Get at least';
    $('send').textContent = `${side() === 'buy' ? 'Buy' : 'Sell'} ${$('symbol').value}`;
    const price = board.price($('symbol').value);
    if (!touched && price) $('limit').value = (Math.round(price * (side() === 'buy' ? 1 + slack : 1 - slack)) / 100).toFixed(2);
  }
  setInterval(propose, 1000); // prices move, and so does a limit that nobody has touched
  $('limit').oninput = () => { touched = $('limit').value !== ''; };
  $('ticket').onchange = ({target}) => {
    if (target.id !== 'limit' && target.id !== 'quantity') touched = false;
    propose();
  };

  function choose(symbol, way = side()) {
    $('symbol').value = symbol;
    $('ticket').elements.side.value = way;
    touched = false;
    propose();
    $('quantity').select();
    $('ticket').scrollIntoView({block: 'nearest'});
  }

  $('ticket').onsubmit = (event) => {
    event.preventDefault();
    send(pending.add({symbol: $('symbol').value, side: side(), quantity: $('quantity').valueAsNumber, limit: Math.round($('limit').valueAsNumber * 100)}));
    touched = false;
    showTrades();
  };

  async function send(order) {
    try {
      const trade = await insist(client, 'trade', order);
      arrived(trade);
      toast(trade.status === 'filled' ? `${did(trade)} ${trade.quantity} ${trade.symbol} at ${money(trade.price)}.` : `${trade.reason}.`, trade.status === 'filled' ? 'news' : 'bad');
    } catch (error) {
      if (error.code === 'closed') return; // the page's next life asks again
      pending.drop(order.reference);
      showTrades();
      toast(error.message, 'bad');
    }
  }

  // ---- what the channels say: all windows of this trader hear of all trades

  client.channel(`trades:${user}`, {last: 50}).on('trade', arrived);
  const {state} = client.channel(`trades:${user}:account`);
  state.on(() => {
    const newest = state.get('account');
    if (!newest || newest.version < account.version) return;
    account = newest;
    showAccount();
  });

  // A trade comes by the answer and by the channel, in either order.
  function arrived(trade) {
    pending.drop(trade.reference);
    const news = !trades.has(trade.id);
    trades.set(trade.id, trade);
    if (news) showTrades(trade.id);
  }

  const did = (t) => t.side === 'buy' ? 'Bought' : 'Sold';

  function showTrades(newest) {
    const live = client.state === 'live' || client.state === 'probing';
    const list = [...[...pending.values()].reverse(), ...[...trades.values()].sort((a, b) => b.id - a.id).slice(0, 50)];
    $('trades-empty').hidden = list.length > 0;
    inPlace($('trades'), list, (t) => t.reference, () => el('li'), (row, t) => {
      row.dataset.status = t.status ?? 'asked';
      if (t.id) row.dataset.trade = t.id;
      const text = `${t.side === 'buy' ? 'Buy' : 'Sell'} ${t.quantity} ${t.symbol}`;
      const lines = t.status === 'filled' ? [`✓ ${did(t)} ${t.quantity} ${t.symbol}`, money(t.price), `No. ${t.id}, ${clock(t.time)}`]
        : t.status === 'refused' ? [`✕ ${text}`, 'Refused', `No. ${t.id}: ${t.reason}`]
          : [`… ${text}`, '', live ? 'Asked, not answered yet' : 'Will be asked when the line is back'];
      if (row.dataset.said === lines.join()) return;
      row.dataset.said = lines.join();
      row.replaceChildren(el('b', {}, lines[0]), el('span', {className: 'tally'}, lines[1]), el('small', {className: 'quiet'}, lines[2]));
      if (t.id === newest && t.id) flash(row);
    });
  }

  function showAccount() {
    let worth = 0;
    const held = Object.entries(account.shares).sort(([a], [b]) => a < b ? -1 : 1);
    for (const [symbol, n] of held) worth += n * (board.price(symbol) ?? 0);
    $('cash').textContent = money(account.cash);
    $('worth').textContent = money(worth);
    $('together').textContent = money(account.cash + worth);
    $('shares-empty').hidden = held.length > 0;
    inPlace($('shares'), held, ([symbol]) => symbol, ([symbol]) => el('li', {},
      el('b', {}, symbol), el('span', {className: 'tally'}), el('span', {className: 'tally value'}),
      el('button', {className: 'pill small plain', type: 'button', 'aria-label': `Sell ${symbol}`, onclick: () => choose(symbol, 'sell')}, 'Sell')),
    (row, [symbol, n]) => {
      row.children[1].textContent = `× ${n}`;
      row.children[2].textContent = money(n * (board.price(symbol) ?? 0));
    });
  }
  setInterval(showAccount, 1000); // what it is worth

  client.on('state', () => pending.size && showTrades());
  pending.forEach(send); // of a page that was left before the answers came
  propose();
  showAccount();
  showTrades();
  return {choose};
}
