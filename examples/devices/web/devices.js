// devices.js: the page. Three state channels say how each device is (fleet.js); a card
// shows it; the panel (panel.js) tells the chosen one something.

import {el, enter, flash, inPlace, userName} from '/demo/assets/page.js';
import {Fleet} from './fleet.js';
import {bars, drawBars, drawSpark, spark} from './gauges.js';
import {openPanel} from './panel.js';

const $ = (id) => document.getElementById(id);
const {client, user} = enter(userName());
const fleet = new Fleet();
const plugs = new Map(); // of the devices that are simulated here: id → whether it is in
let filter = 'all', chosen, ready = false;

const follow = (name, changed) => {
  const {state} = client.channel(name);
  state.on((change) => { changed(change, state); draw(change.key); });
  return state;
};
const telemetry = follow('devices:telemetry', ({key, value}, state) => {
  if (key && value) fleet.report(key, value, Date.now());
  else fleet.snapshot(state, Date.now());
});
const statuses = follow('devices:status', ({key, value}, state) => {
  const before = key && fleet.devices.get(key)?.status?.status;
  fleet.statuses(state);
  if (before && value && before !== value.status) $('spoken').textContent = `${key} is ${value.status}`;
});
follow('devices:plugs', (_, state) => {
  plugs.clear();
  for (const [id, plug] of state) plugs.set(id, plug.in);
});
client.on('state', () => fleet.look(Date.now(), false));

const panel = openPanel({client, user, plugs, closed: () => choose(undefined)});

// ---- the cards

const words = {online: 'Online', silent: 'Silent', offline: 'Offline'};

function card(d) {
  const button = el('button', {type: 'button', className: 'card panel', onclick: () => choose(d.id)},
    el('span', {className: 'line head-line'}, el('b', {}, d.id), el('span', {className: 'chip'})),
    el('span', {className: 'site quiet'}),
    el('span', {className: 'heat'}, el('span', {className: 'degrees tally'}), spark()),
    el('span', {className: 'bar', title: 'Soil moisture'}, el('i')),
    el('span', {className: 'line small quiet tally'}, el('span', {className: 'valve'}), el('span', {className: 'battery'}), bars()));
  return el('li', {}, button);
}

function drawCard(li, d) {
  const state = fleet.state(d, Date.now()), r = d.report;
  const set = (selector, text) => { const e = li.querySelector(selector); if (e.textContent !== text) e.textContent = text; };
  if (li.dataset.state && li.dataset.state !== state) flash(li.firstChild);
  li.dataset.state = state;
  li.hidden = filter !== 'all' && filter !== state;
  li.firstChild.setAttribute('aria-pressed', d.id === chosen);
  set('.chip', words[state]);
  set('.site', r?.site ?? 'It has not reported yet');
  set('.degrees', r ? `${r.temperature.toFixed(1)}°` : '–');
  drawSpark(li.querySelector('.spark-line'), d.trail);
  li.querySelector('.bar i').style.inlineSize = `${r?.moisture ?? 0}%`;
  set('.valve', r?.valve ? 'Watering' : 'Shut');
  li.querySelector('.valve').dataset.on = !!r?.valve;
  set('.battery', r ? `${r.battery} %` : '');
  li.querySelector('.battery').dataset.low = r?.battery < 15;
  drawBars(li.querySelector('.bars'), r?.signal ?? -200);
}

function draw(key) {
  if (!telemetry.ready || !statuses.ready) return;
  const child = key && fleet.devices.has(key) && $('cards').querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (child) drawCard(child, fleet.devices.get(key));
  else inPlace($('cards'), fleet.devices.values(), (d) => d.id, card, drawCard);
  if (!ready) first();
  drawFilters();
  const d = fleet.devices.get(chosen);
  if (d && (!key || key === chosen)) panel.draw(d, fleet.state(d, Date.now()));
}

function first() {
  ready = true;
  const asked = decodeURIComponent(location.hash.slice(1));
  const one = fleet.devices.has(asked) ? asked : fleet.devices.keys().next().value;
  if (one && (asked === one || matchMedia('(min-width: 1000px)').matches)) choose(one, false);
}

// ---- which of them

const emptiness = {
  all: 'There are no devices yet.', online: 'No device is online.',
  silent: 'No device is silent: all that are there report.', offline: 'No device is offline. Pull the plug of one to see it go.',
};
const pills = ['all', ...Object.keys(words)].map((name) => el('button', {type: 'button', className: 'pill small plain', data: {filter: name}, onclick: () => { filter = name; draw(); }},
  words[name] ?? 'All', el('span', {className: 'tally'})));
$('filters').append(...pills);

function drawFilters() {
  const now = Date.now(), n = {all: fleet.devices.size, online: 0, silent: 0, offline: 0};
  for (const d of fleet.devices.values()) n[fleet.state(d, now)]++;
  for (const pill of pills) {
    pill.lastChild.textContent = n[pill.dataset.filter];
    pill.setAttribute('aria-pressed', filter === pill.dataset.filter);
  }
  $('count').textContent = n.all;
  $('empty').hidden = n[filter] > 0;
  $('empty').textContent = emptiness[filter];
}

function choose(id, show = true) {
  const before = chosen;
  chosen = id;
  history.replaceState(null, '', id ? `#${encodeURIComponent(id)}` : location.pathname + location.search);
  panel.choose(id);
  draw();
  if (show && id) panel.show();
  else if (show && before) $('cards').querySelector(`[data-key="${CSS.escape(before)}"] button`)?.focus();
}

// What time alone changes: who has fallen silent.
setInterval(() => {
  fleet.look(Date.now(), client.state === 'live');
  if (!document.hidden) draw();
}, 1000);
