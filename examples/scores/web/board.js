// board.js: the matches of each league that is on the screen.

import {el, inPlace} from '/demo/assets/page.js';

const still = {before: 'Soon', 'half-time': 'Half-time', ended: 'Full time'};
const order = ['first', 'second', 'half-time', 'before', 'ended'];

export function showBoard(place, leagues, edit) {
  inPlace(place, leagues, (l) => l.league, ({title}) => el('section', {className: 'league panel'}, el('h2', {}, title, el('span', {className: 'quiet'})), el('ul')),
    (section, {league, state}) => {
      const matches = [...state.values()].sort((a, b) => order.indexOf(a.period) - order.indexOf(b.period) || a.match.localeCompare(b.match, 'en', {numeric: true}));
      section.querySelector('span').textContent = state.ready ? (matches.length ? '' : 'The teams are on their way') : '…';
      inPlace(section.querySelector('ul'), matches, (m) => m.match, (m) => build(league, m, state, edit), update);
    });
}

function build(league, {match}, state, edit) {
  return el('li', {className: 'match', data: {match}},
    el('span', {className: 'minute'}), el('span', {className: 'home'}), el('span', {className: 'goals'}), el('span', {className: 'away'}),
    edit && el('button', {className: 'pill small plain edit', type: 'button', onclick: () => edit(league, match, state)}, 'Correct'));
}

function update(row, m) {
  const [minute, home, goals, away, button] = row.children;
  row.classList.toggle('on', m.period === 'first' || m.period === 'second');
  say(minute, still[m.period] ?? `${m.minute}'`);
  say(home, m.home);
  say(goals, m.period === 'before' ? '–' : m.goals.join(' : '));
  say(away, m.away);
  if (button) {
    button.disabled = m.period === 'before';
    button.setAttribute('aria-label', `Correct ${m.home} against ${m.away}`);
  }
}

const say = (e, text) => { if (e.textContent !== text) e.textContent = text; };
