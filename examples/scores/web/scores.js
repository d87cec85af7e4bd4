// scores.js: the page. The board is what the states say (board.js), the news are those of
// the leagues on the screen (news.js), and editors have a desk (desk.js).

import {clock, el, enter, inPlace, toast, userName} from '/demo/assets/page.js';
import {showBoard} from './board.js';
import {desk} from './desk.js';
import {News} from './news.js';

export const leagues = new Map([['north', 'Northern League'], ['south', 'Southern League'], ['cup', 'Cup']]);
const $ = (id) => document.getElementById(id);
const isStaff = (name) => name === 'staff' || name.startsWith('staff-');
const asked = new URLSearchParams(location.search).get('user') ?? '';
const name = 'desk' in document.body.dataset ? (isStaff(asked) ? asked : 'staff') : userName();
const {user, client} = enter(name);
const staff = isStaff(user); // what it may do, the server decides
const open = new Map(); // league → {news, state, stop}: of those on the screen

export {client, open};
const edit = staff && desk(client, leagues);

// ---- what is on the screen

function chosen() {
  const hash = location.hash.slice(1);
  return leagues.has(hash) ? [hash] : [...leagues.keys()];
}

// follow has the page follow the leagues on the screen, and no others.
function follow() {
  const wanted = chosen();
  for (const [league, o] of open) {
    if (wanted.includes(league)) continue;
    o.stop();
    open.delete(league);
  }
  for (const league of wanted) if (!open.has(league)) open.set(league, begin(league));
  for (const button of $('filter').children) button.setAttribute('aria-pressed', String((button.value || 'all') === (wanted.length > 1 ? 'all' : wanted[0])));
  if (edit && wanted.length === 1) $('note-league').value = wanted[0];
  show();
}

function begin(league) {
  const {state} = client.channel(`scores:${league}`);
  const news = new News(client, league, {changed: show});
  const before = new Map(); // match → goals, as they were shown
  const off = state.on(({key, value}) => {
    const was = before.get(key);
    if (key === undefined) for (const [id, m] of state) before.set(id, String(m.goals));
    else if (value) before.set(key, String(value.goals));
    else before.delete(key);
    show();
    if (was !== undefined && value && was !== String(value.goals)) scored(value);
  });
  news.open();
  return {news, state, stop() { off(); news.close(); }};
}

for (const [value, words] of [['', 'All'], ...leagues]) {
  $('filter').append(el('button', {className: 'pill small plain', type: 'button', value, 'aria-pressed': 'false',
    onclick: () => { history.replaceState(null, '', `#${value}`); follow(); }}, words));
}
addEventListener('hashchange', follow);

let due;
function show() { // once for all that changes at a time
  due ??= requestAnimationFrame(() => {
    due = undefined;
    showBoard($('boards'), [...leagues].filter(([l]) => open.has(l)).map(([league, title]) => ({league, title, state: open.get(league).state})), edit);
    showNews();
    showMissed();
  });
}

function scored(m) {
  $('spoken').textContent = `${m.home} ${m.goals[0]}, ${m.away} ${m.goals[1]}`;
  requestAnimationFrame(() => {
    const row = document.querySelector(`[data-match="${CSS.escape(m.match)}"]`);
    if (!row) return;
    row.classList.add('goal');
    setTimeout(() => row.classList.remove('goal'), 4000);
  });
}

// ---- news

const periods = {first: 'Kick-off', 'half-time': 'Half-time', second: 'Second half', ended: 'Full time'};
const sayings = {
  goal: (d) => `Goal: ${d.player} for ${d.team}`,
  card: (d) => `${d.card === 'red' ? 'Red' : 'Yellow'} card: ${d.player}, ${d.team}`,
  whistle: (d) => periods[d.period],
  correction: (d) => `Correction: it is ${d.goals.join(' : ')}${d.reason ? `. ${d.reason}` : ''}`,
  note: (d) => d.text,
};

function showNews() {
  const list = [...open.values()].flatMap((o) => o.news.list).sort((a, b) => b.time - a.time || b.offset - a.offset).slice(0, 30);
  $('empty').hidden = list.length > 0;
  inPlace($('news'), list, (n) => `${n.league}-${n.offset}`, (n) => el('li', {data: {kind: n.event}},
    el('time', {dateTime: new Date(n.time).toISOString()}, clock(n.time)),
    el('div', {}, el('p', {}, n.event === 'goal' ? el('b', {}, sayings.goal(n.data)) : sayings[n.event]?.(n.data) ?? n.event),
      el('p', {className: 'where'}, n.event === 'note' ? `${leagues.get(n.league)}, by ${n.from ?? 'the desk'}`
        : `${n.data.home} ${n.data.goals.join(' : ')} ${n.data.away}, ${n.data.minute}'`))),
  (row, n) => row.classList.toggle('missed-item', open.get(n.league).news.isMissed(n)));
}

// Whoever comes back reads in one line what there was, and has it marked until it is seen.
const counted = [['goal', 'goal', 'goals'], ['card', 'card', 'cards'], ['whistle', 'whistle', 'whistles'], ['correction', 'correction', 'corrections'], ['note', 'note', 'notes']];
function showMissed() {
  const missed = [...open.values()].filter((o) => o.news.following).flatMap((o) => o.news.missed);
  const words = counted.map(([event, one, many]) => [missed.filter((n) => n.event === event).length, one, many])
    .filter(([n]) => n > 0).map(([n, one, many]) => `${n} ${n === 1 ? one : many}`).join(', ');
  $('missed').hidden = missed.length === 0;
  const text = `While you were away: ${words}.`;
  if (missed.length && $('missed-words').textContent !== text) $('missed-words').textContent = text;
}
$('seen').onclick = () => {
  for (const {news} of open.values()) news.allSeen();
  show();
};
client.on('state', ({state}) => {
  if (state !== 'live' && state !== 'probing') for (const {news} of open.values()) news.lost();
});
client.on('state', ({state, error}) => state === 'closed' && error && toast(error.message, 'bad'));

follow();
