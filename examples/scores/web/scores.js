// scores.js: the page. One league at a time is followed: its scores are a state, its
// news a log of which the last thirty are there when one comes.

import {clock, el, enter, flash, inPlace, randomId, toast, userName} from '/demo/assets/page.js';

const $ = (id) => document.getElementById(id);
const {user, client} = enter(userName());
const leagues = {harbour: 'Harbour', hills: 'Hills'};
const editor = /^staff(-|$)/.test(user); // what the server thinks of it, it says itself
const periods = {first: 'first half', 'half-time': 'half-time', second: 'second half', over: 'over'};
const mostNews = 200;
let league, enough;

$('write').hidden = !editor;
$('editor-hint').hidden = editor;

for (const [name, title] of Object.entries(leagues)) {
  $('leagues').append(el('button', {className: 'pill small plain', type: 'button', value: name, onclick: () => follow(name)}, title));
}

function follow(name) {
  enough?.abort();
  league = name;
  enough = new AbortController();
  const {signal} = enough;
  history.replaceState(null, '', `#${name}`);
  for (const b of $('leagues').children) b.setAttribute('aria-pressed', b.value === name);

  const {state} = client.channel(`scores:${name}`);
  state.on(({key}) => showMatches(state, key), {signal});
  showMatches(state);

  const items = new Map(); // offset → message
  const news = client.channel(`scores:${name}:news`, {last: 30});
  const put = (m) => {
    items.set(m.offset, m);
    if (items.size > mostNews) items.delete(Math.min(...items.keys()));
    showNews(items);
  };
  news.on('news', (data, m) => put(m), {signal});
  news.when('recovered', ({count}) => count && toast(`${count === 1 ? 'One thing' : `${count} things`} happened while you were away.`), {signal});
  const anew = async () => { // what was missed is more than comes by itself
    const {messages} = await news.page({limit: 30}).catch(() => ({messages: []}));
    items.clear();
    messages.forEach(put);
  };
  news.when('gap', anew, {signal});
  // A league that was left a moment ago goes on where it was, so what came before is asked for.
  news.when('subscribed', ({recovered}) => recovered === false && anew(), {signal});
  if (news.position) anew();
  showNews(items);
}

function showMatches(state, changed) {
  inPlace($('matches'), [...state].sort(([a], [b]) => (a < b ? -1 : 1)), ([key]) => key, ([key, m]) => {
    const side = (name, i) => el('p', {className: 'side'}, el('span', {}, name), el('span', {className: 'goals tally', data: {side: i}}));
    const card = el('li', {className: 'panel match'}, side(m.home, 0), side(m.away, 1), el('p', {className: 'clock'}, el('span', {className: 'tally'}), el('i'), el('span')));
    if (editor) card.append(desk(key, m));
    return card;
  }, (card, [key, m]) => {
    const [minute, , period] = card.querySelector('.clock').children;
    minute.textContent = `${m.minute}'`;
    card.style.setProperty('--minute', m.minute);
    period.textContent = periods[m.period];
    m.goals.forEach((n, i) => {
      const place = card.querySelector(`[data-side="${i}"]`), before = place.textContent;
      place.textContent = n;
      if (before !== '' && before !== String(n) && key === changed) flash(card);
    });
  });
}

// desk is the form with which an editor puts a score right.
function desk(match, m) {
  const inputs = ['home', 'away'].map((side) => el('input', {type: 'number', name: side, min: 0, max: 99, required: true, 'aria-label': `Goals of ${m[side]}`}));
  const form = el('form', {}, ...inputs, el('button', {className: 'pill small plain', type: 'submit'}, 'Put right'));
  form.onsubmit = async (event) => {
    event.preventDefault();
    const [home, away] = inputs.map((i) => i.valueAsNumber);
    try {
      await client.call('scores-correct', {league, match, home, away});
      form.reset();
    } catch (error) {
      toast(error.message, 'bad');
    }
  };
  return form;
}

function showNews(items) {
  const list = [...items.values()].sort((a, b) => b.offset - a.offset);
  $('quiet').hidden = list.length > 0;
  inPlace($('news'), list, (m) => `${league} ${m.offset}`, (m) => el('li', {data: {kind: m.data.kind}}, m.data.text, el('small', {className: 'tally'}, m.from ? `${clock(m.time)}, ${m.from}` : clock(m.time))), () => {});
}

$('write').onsubmit = async (event) => {
  event.preventDefault();
  const text = $('text').value.trim();
  if (!text) return;
  $('text').value = '';
  try { // the client keeps it while there is no line, and it is told once
    await client.channel(`scores:${league}:news`).publish('news', {kind: 'desk', text}, {dedupe: randomId()});
  } catch (error) {
    $('text').value ||= text;
    toast(error.message, 'bad');
  }
};

follow(location.hash.slice(1) in leagues ? location.hash.slice(1) : 'harbour');
