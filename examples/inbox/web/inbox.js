// inbox.js: the page. What the channel tells goes into a list, by offset; what of it is
// read, marks.js knows.

import {clock, el, enter, inPlace, randomId, toast, userName} from '/demo/assets/page.js';
import {Marks} from './marks.js';

const $ = (id) => document.getElementById(id);
const {user, client} = enter(userName());
const kinds = {mention: 'Mentions', order: 'Orders', system: 'The system'};
const channel = client.channel(`inbox:${user}`, {last: 30});
const marks = new Marks(client, user, show);
const items = new Map(); // offset → message
let epoch, more = false;

// ---- what comes

channel.on('notification', (data, m) => {
  const isNew = put(m);
  show();
  if (isNew && !marks.muted.has(data.kind) && Date.now() - m.time < 10_000 && !marks.isRead({epoch, offset: m.offset})) tell(data, m);
});
channel.when('subscribed', ({recovered}) => recovered || load());
channel.when('gap', () => load());
channel.when('failed', ({error}) => toast(error.message, 'bad'));

function put(m) {
  const now = channel.position.epoch; // what offsets are of
  if (epoch !== now) items.clear(); // it began anew: the former ones mean nothing
  epoch = now;
  const isNew = !items.has(m.offset);
  items.set(m.offset, {...m, epoch});
  return isNew;
}

// load asks for a page of the history: the newest, or what comes before an offset.
async function load(before) {
  try {
    const page = await channel.page({before, limit: 30});
    for (const m of page.messages) if (m.type === 'notification') put(m);
    more = page.more;
    show();
  } catch (error) {
    if (!error.retryable) toast(error.message, 'bad'); // else the line is gone, and comes back
  }
}

// tell says it where it is looked at; elsewhere the desktop does, if it was allowed to.
function tell({by, text}, {offset}) {
  if (!document.hidden) toast(by ? `${by}: ${text}` : text);
  if (document.hasFocus() || globalThis.Notification?.permission !== 'granted') return;
  try {
    new Notification(by ?? 'Ringdown', {body: text, tag: `${user} ${epoch} ${offset}`}); // of two tabs one is shown
  } catch {
    // Some phones have them for service workers only.
  }
}

// ---- what is shown

const day = (time) => new Date(time).toLocaleDateString('en-GB', {day: 'numeric', month: 'short'});
const when = (time) => (day(time) === day(Date.now()) ? '' : `${day(time)}, `) + clock(time);
const unread = () => [...items.values()].filter((m) => !marks.isRead(m) && !marks.muted.has(m.data.kind));

function show() {
  const list = [...items.values()].sort((a, b) => b.offset - a.offset), n = unread().length;
  const some = n === list.length && more ? `${n} or more` : n;
  $('count').textContent = n ? `${some} unread` : 'All read';
  $('all').disabled = n === 0;
  document.title = `${n ? `(${n}) ` : ''}Inbox · Ringdown`;
  $('empty').hidden = list.length > 0;
  $('older').hidden = !more;
  inPlace($('list'), list, (m) => `${m.epoch} ${m.offset}`, (m) => el('li', {}, el('button', {type: 'button', onclick: () => marks.readOne(m)},
    el('span', {className: 'dot'}), el('span', {className: 'what'}, m.data.text), el('span', {className: 'when tally'}, when(m.time)),
    el('span', {className: 'by'}, m.data.by ? `${kinds[m.data.kind]}, by ${m.data.by}` : kinds[m.data.kind]))), (row, m) => {
    const state = `${marks.muted.has(m.data.kind) ? 'muted ' : ''}${marks.isRead(m) ? 'read' : 'unread'}`;
    if (row.className === state) return;
    row.className = state;
    row.firstChild.setAttribute('aria-label', `${m.data.text}, ${when(m.time)}, ${state}`);
  });
  for (const box of $('kinds').querySelectorAll('input')) box.checked = !marks.muted.has(box.value);
}

for (const [kind, words] of Object.entries(kinds)) {
  const box = el('input', {type: 'checkbox', value: kind, checked: true});
  box.onchange = () => marks.mute(kind, !box.checked).catch((error) => { toast(error.message, 'bad'); show(); });
  $('kinds').append(el('label', {}, box, words));
}

// ---- what is done

$('all').onclick = () => marks.readUpTo([...items.values()].reduce((a, b) => (a.offset > b.offset ? a : b)));
$('older').onclick = () => load(Math.min(...items.keys()));
$('to').value = user;
$('second').href = `/inbox/?user=${encodeURIComponent(user)}`;

$('send').onsubmit = async (event) => {
  event.preventDefault();
  const told = {to: $('to').value, kind: $('kind').value, text: $('text').value.trim(), reference: randomId()};
  if (!told.text) return;
  $('text').value = '';
  for (;;) { // until it is known that it was sent; the same reference is the same notification
    try {
      await client.call('inbox-send', told);
      return void (told.to === user || toast(`${told.to} has it.`));
    } catch (error) {
      if (error.retryable || error.code === 'unknown') { await new Promise((done) => setTimeout(done, 500)); continue; }
      $('text').value ||= told.text;
      return void toast(error.message, 'bad');
    }
  }
};

if (globalThis.Notification?.permission === 'default') {
  $('permit').hidden = false;
  $('permit').onclick = async () => { await Notification.requestPermission(); $('permit').hidden = true; };
}

show();
export {client, items, marks}; // for whoever looks at the page from outside
