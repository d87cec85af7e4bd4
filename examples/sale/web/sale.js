// sale.js: the page. What is left comes by one channel, who bought by another; the
// button asks, and what it is answered is what counts.

import {el, enter, flash, inPlace, money, toast, userName} from '/demo/assets/page.js';
import {insist, Pending} from '/demo/assets/insist.js';

const $ = (id) => document.getElementById(id);
const user = userName();
const {client} = enter(user);
const pending = new Pending(`sale:${user}`); // pieces that were asked for, and no answer yet
const most = 2; // pieces for each buyer

let sale; // as the server says
let ahead = 0; // of this page's clock
let messages = 0; // about the stock of this sale
const owners = new Map(); // number → buyer, of this sale
const mine = new Set(); // numbers, of this sale
const waiting = []; // who bought in a sale of which this page has not heard yet

const now = () => Date.now() + ahead;
const live = () => client.state === 'live' || client.state === 'probing';

// ---- what the channels say

// Four times a second is as fast as one reads: the server leaves out the rest.
const {state} = client.channel('sale:stock', {rate: 4});
state.on(({message}) => {
  const newest = state.get('now');
  if (!newest) return;
  const another = newest.sale !== sale?.sale;
  sale = newest;
  if (another) {
    messages = 0;
    owners.clear();
    mine.clear();
    waiting.splice(0).forEach(take);
  }
  if (message) messages++;
  show();
});

client.channel('sale:buyers', {last: 200}).on('sold', take);

function take(batch) {
  if (!sale || batch.sale > sale.sale) return void waiting.push(batch);
  if (batch.sale < sale.sale) return;
  batch.buyers.forEach((who, i) => own(batch.first + i, who));
  show();
}

// own takes in who has which number: by the channel, or by the answer to this page.
function own(number, who) {
  owners.set(number, who);
  if (who === user) mine.add(number);
}

// ---- buying

$('buy').onclick = () => {
  const wish = pending.add({sale: sale.sale});
  show();
  ask(wish);
};

const reasons = {sold_out: 'Too late: all of them are sold.', not_open: 'This sale is not open.', enough: `You have ${most} already, and that is all for one buyer.`};

async function ask(wish) {
  try {
    const piece = await insist(client, 'buy', wish);
    pending.drop(wish.reference);
    if (piece.sale === sale?.sale) own(piece.number, user);
    else waiting.push({sale: piece.sale, first: piece.number, buyers: [user]});
    toast(`Number ${piece.number} is yours.`);
  } catch (error) {
    if (error.code === 'closed') return; // the page's next life asks again
    pending.drop(wish.reference);
    toast(reasons[error.reason] ?? error.message, 'bad');
  }
  show();
}
pending.forEach(ask); // of a page that was left before the answers came

for (const [id, call] of [['next', 'next-sale'], ['rush', 'rush']]) {
  $(id).onclick = async () => {
    $(id).disabled = true;
    try {
      await client.call(call, {});
    } catch (error) {
      toast(error.code === 'unknown' ? 'The line broke: look whether it was done.' : error.message, 'bad');
    }
    show();
  };
}

// ---- what is shown

const phases = {
  none: ['No sale yet', 'Press “Start the next sale”. It begins five seconds later.'],
  coming: ['Begins in', 'Send some buyers now, and they wait at the door with you.'],
  open: ['Open, for', 'Buy one, and then send 200 buyers after the rest.'],
  sold: ['Sold out', 'All of it is gone, to the last piece and not one more. Start another.'],
  over: ['Over', 'Some were left. Start another.'],
};

function phase() {
  if (!sale) return undefined;
  if (sale.sale === 0) return 'none';
  if (sale.left === 0) return 'sold';
  const t = now();
  return t < sale.starts ? 'coming' : t < sale.ends ? 'open' : 'over';
}

function show() {
  const is = phase();
  if (!is) return;
  $('sale').dataset.phase = is;
  text('which', sale.sale ? `Flash sale no. ${sale.sale}` : 'Flash sale');
  text('article', sale.article);
  text('price', money(sale.price));
  text('phase', phases[is][0]);
  text('hint', phases[is][1]);
  if ($('picture').getAttribute('src') !== sale.picture) $('picture').src = sale.picture;
  $('bar').ariaValueMax = sale.stock;
  $('bar').ariaValueNow = sale.left;
  $('bar').style.setProperty('--share', sale.sale ? sale.left / sale.stock : 0);
  text('left', sale.sale ? `${sale.left} of ${sale.stock} left` : `${sale.stock} will be for sale`);
  text('sold', sale.sale ? sale.stock - sale.left : 0);
  text('messages', messages);
  const asked = [...pending.values()].filter((wish) => wish.sale === sale.sale);
  $('buy').disabled = is !== 'open' || asked.length + mine.size >= most;
  text('buy', mine.size >= most ? 'You have two' : is === 'sold' ? 'Sold out' : mine.size ? 'Buy another' : 'Buy one');
  $('next').disabled = is === 'coming' || is === 'open';
  $('rush').disabled = is !== 'coming' && is !== 'open';
  showMine(asked);
  showBuyers();
  tick();
}

// text touches the page only where something is new, for a screen reader's sake.
function text(id, said) {
  if ($(id).textContent !== String(said)) $(id).textContent = said;
}

function showMine(asked) {
  const items = [...[...mine].sort((a, b) => a - b).map((n) => ({key: `no-${n}`, said: `✓ Number ${n} is yours`})),
    ...asked.map((wish) => ({key: wish.reference, asked: true, said: live() ? '… asked, not answered yet' : '… will be asked when the line is back'}))];
  inPlace($('mine'), items, (i) => i.key, () => el('li'), (row, i) => {
    row.className = i.asked ? 'asked' : 'own';
    if (row.textContent !== i.said) row.textContent = i.said;
  });
}

let shown = 0; // the highest number
function showBuyers() {
  const list = [...owners].sort(([a], [b]) => b - a).slice(0, 12);
  $('buyers-empty').hidden = list.length > 0;
  inPlace($('buyers'), list, ([n]) => `${sale.sale}-${n}`, ([n, who]) => el('li', {className: who === user ? 'own' : ''},
    el('span', {className: 'tally quiet'}, `No. ${n}`), el('b', {}, who)), (row, [n]) => n > shown && flash(row));
  shown = list[0]?.[0] ?? 0;
}

// ---- the countdown, by the server's clock

let timer;
function tick() {
  clearTimeout(timer);
  const is = phase();
  const until = is === 'coming' ? sale.starts : is === 'open' ? sale.ends : undefined;
  if (is !== $('sale').dataset.phase) return show(); // its time has come
  if (until === undefined) return text('count', '');
  const ms = until - now();
  const seconds = Math.ceil(ms / 1000);
  text('count', is === 'coming' ? seconds : `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`);
  timer = setTimeout(tick, ms - (seconds - 1) * 1000);
}

async function setClock() {
  const asked = Date.now();
  try {
    const answer = await (await fetch('/sale/clock')).json();
    ahead = answer.now - (asked + Date.now()) / 2;
    show();
  } catch {
    // The line is gone again; the next one is asked again.
  }
}
client.on('state', ({state: is}) => {
  if (is === 'live') setClock();
  if (pending.size) show();
});
document.addEventListener('visibilitychange', () => document.hidden || show());
