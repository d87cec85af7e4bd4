// trucks.js: the page. What the channels say goes into the fleet (fleet.js), sixty
// times a second the fleet is drawn (marks.js) over the country (map.js), and twice a
// second it is counted.

import {el, enter, inPlace, toast, userName} from '/demo/assets/page.js';
import {Fleet} from './fleet.js';
import {Country, View} from './map.js';
import {mark, sayings, size, vehicles} from './marks.js';
import {steer} from './steer.js';

const $ = (id) => document.getElementById(id);
const rates = [0.2, 1 / 3, 0.5, 1, undefined]; // deliveries a second of each truck; undefined: all there are

const {client} = enter(userName());
const sheet = await (await fetch('/trucks/map.json')).json();
const country = new Country(sheet);
const view = new View(sheet.bounds);
const fleet = new Fleet();
const still = matchMedia('(prefers-reduced-motion: reduce)');
const names = new Map(sheet.regions.map((r) => [r.id, r.name]));
let chosen, hovered, tracking = false; // vehicles
let stroke = true; // the country must be drawn again

export {client, fleet, view}; // for whoever looks at the page from outside

// ---- what the channels say

const channel = (region) => client.channel(`trucks:${region}`, {rate: rates[$('rate').value]});
const ends = new Map(); // region → how to leave it
let heard = 0; // reports since the last full second

function follow(region) {
  const {state} = channel(region);
  fleet.follow(region, state, Date.now());
  ends.set(region, state.on((change) => {
    if (change.message) heard++;
    fleet.change(region, change, Date.now());
  }));
}

function leave(region) {
  ends.get(region)();
  fleet.drop(region, Date.now());
}

// The same place, another pace: nothing has to be sent again.
function changeRate() {
  fleet.period = Math.max(1000, 1000 / (rates[$('rate').value] ?? 1));
  sayRate();
  for (const {id} of sheet.regions) channel(id);
}

function sayRate() {
  const rate = rates[$('rate').value];
  const said = rate === undefined ? 'every report' : rate < 1 ? `one report in ${Math.round(1 / rate)} s, of each truck` : 'one report a second, of each truck';
  $('rate-now').value = said;
  $('rate').setAttribute('aria-valuetext', said);
}
$('rate').oninput = sayRate;
$('rate').onchange = changeRate;
sayRate();

client.on('state', ({state}) => {
  if (state === 'live') fleet.ahead = Infinity; // who slept may wake up with another clock
  else if (state !== 'probing') silent();
});

// ---- the board

const rows = Object.entries(sayings).map(([status, said]) => {
  const icon = el('canvas', {width: 44, height: 44});
  const number = el('b');
  $('statuses').append(el('li', {data: {status}}, icon, said, number));
  return {status, icon, number};
});

for (const r of sheet.regions) {
  const box = el('input', {type: 'checkbox', checked: true, value: r.id});
  box.onchange = () => {
    (box.checked ? follow : leave)(r.id);
    stroke = true;
    tell();
  };
  $('regions').append(el('li', {}, el('label', {}, box, r.name, el('span', {className: 'tally quiet', data: {region: r.id}}))));
  follow(r.id);
  channel(r.id).when('failed', ({error}) => toast(error.message, 'bad'));
}

function tell() {
  const now = Date.now();
  fleet.tidy(now);
  fleet.still = still.matches;
  const n = fleet.count(now);
  $('count').textContent = fleet.vehicles.size;
  for (const {status, number} of rows) number.textContent = n[status];
  for (const place of $('regions').querySelectorAll('[data-region]')) {
    const {region} = place.dataset;
    place.textContent = fleet.regions.has(region) ? n.regions[region] ?? 0 : '';
  }
  tellCard(now);
}
setInterval(tell, 500);

const flow = []; // messages a second, in each of the last seconds
let counted = performance.now();
setInterval(() => {
  const now = performance.now();
  flow.push(heard * 1000 / (now - counted));
  [heard, counted] = [0, now];
  if (flow.length > 60) flow.shift();
  const recent = flow.slice(-10); // at the slowest pace they come once in five seconds
  if (client.state === 'live') $('flow').textContent = Math.round(recent.reduce((a, b) => a + b, 0) / recent.length);
  drawFlow();
}, 1000);

// Without a line nothing comes, and the mean of the seconds before says otherwise.
function silent() {
  heard = 0;
  $('flow').textContent = '0';
}

function drawFlow() {
  const bars = $('bars'), g = bars.getContext('2d'), ratio = devicePixelRatio;
  Object.assign(bars, {width: bars.clientWidth * ratio, height: 44 * ratio});
  const wide = bars.width / 60, most = Math.max(...flow, 10);
  g.fillStyle = ink.driving;
  flow.forEach((n, i) => {
    const high = Math.max(n / most * bars.height, ratio);
    g.fillRect((i + 60 - flow.length) * wide, bars.height - high, Math.max(wide - ratio, 1), high);
  });
}

// ---- one vehicle

function choose(vehicle, {show = false} = {}) {
  chosen = vehicle;
  if (!vehicle) tracking = false;
  $('track').setAttribute('aria-pressed', tracking);
  $('card').hidden = !vehicle;
  if (!vehicle) return;
  if (show) {
    if (view.zoom < 3) view.zoomAt(view.width / 2, view.height / 2, 3 / view.zoom);
    lookAt(vehicle);
  }
  tellCard(Date.now());
  $('spoken').textContent = `${vehicle.key}, ${sayings[vehicle.data.status]}, in ${names.get(vehicle.region)}, to ${vehicle.data.to}`;
}

// On a phone the card covers the lower part of the map.
function lookAt(vehicle) {
  const at = vehicle.at(Date.now());
  view.centre(at.lon, at.lat);
  if (view.width < 700) view.pan(0, -$('card').offsetHeight / 2);
  stroke = true;
}

const winds = ['north', 'north-east', 'east', 'south-east', 'south', 'south-west', 'west', 'north-west'];

function tellCard(now) {
  if (!chosen) return;
  const gone = !fleet.vehicles.has(chosen.key);
  if (!gone) chosen = fleet.vehicles.get(chosen.key);
  const {data, key, region} = chosen;
  const status = gone ? 'gone' : fleet.stale(chosen, now) ? 'silent' : data.status;
  $('card-name').textContent = key;
  if ($('card-status').dataset.status !== status) {
    $('card-status').dataset.status = status;
    $('card-status').replaceChildren(gone ? '' : icon(status), gone ? 'Not on this map' : sayings[status]);
  }
  const ago = Math.max(0, (now - chosen.heard) / 1000);
  const facts = [
    ['To', data.to],
    ['In', names.get(region)],
    ['Speed', `${data.speed} km/h`],
    ['Heading', winds[Math.round(data.heading / 45) % 8]],
    ['Cargo', data.cargo || 'none'],
    ['Load', `${data.load} %`],
    ['Heard', ago < 1.5 ? 'just now' : `${Math.round(ago)} s ago`],
  ];
  const list = facts.flatMap(([name, value]) => [{tag: 'dt', id: name, text: name}, {tag: 'dd', id: `${name}-value`, text: value}]);
  inPlace($('card-rows'), list, (f) => f.id, (f) => el(f.tag), (e, f) => { if (e.textContent !== f.text) e.textContent = f.text; });
}

function icon(status) {
  const e = el('canvas', {width: 44, height: 44});
  paintIcon(e, status);
  return e;
}

function paintIcon(e, status) {
  const g = e.getContext('2d');
  g.setTransform(1, 0, 0, 1, 0, 0);
  g.clearRect(0, 0, 44, 44);
  g.setTransform(2.5, 0, 0, 2.5, 22, 22);
  mark(g, status === 'silent' ? 'driving' : status, {...ink, edge: ink.panel}, status === 'silent');
}

$('track').onclick = () => {
  tracking = !tracking;
  $('track').setAttribute('aria-pressed', tracking);
};
$('close').onclick = () => { choose(); $('fleet').focus(); };
$('find').onfocus = () => $('names').replaceChildren(...[...fleet.vehicles.keys()].sort().map((key) => el('option', {value: key})));
$('find-form').onsubmit = (event) => {
  event.preventDefault();
  const wanted = $('find').value.trim().toLowerCase();
  const padded = wanted.replace(/^(truck-?)?(\d+)$/, (_, __, n) => `truck-${n.padStart(3, '0')}`);
  const vehicle = fleet.vehicles.get(wanted) ?? fleet.vehicles.get(padded);
  if (!vehicle) return toast(`There is no ${wanted || 'such truck'} in these regions.`, 'bad');
  choose(vehicle, {show: true});
};

// ---- drawing

const ink = {};
function mixInk() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ['sea', 'shallow', 'shore', 'land', 'wood', 'away', 'coast', 'border', 'river', 'lake', 'casing', 'road', 'motorway',
    'place', 'region', 'halo', 'driving', 'loading', 'resting', 'broken', 'silent', 'edge', 'trail', 'panel']) ink[name] = style.getPropertyValue(`--${name}`).trim();
  ink.font = style.getPropertyValue('--text');
  for (const {status, icon} of rows) paintIcon(icon, status);
  $('card-status').dataset.status = '';
  tellCard(Date.now());
  drawFlow();
  stroke = true;
}
mixInk();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', mixInk);

const land = $('land').getContext('2d', {alpha: false}), above = $('fleet').getContext('2d');

function fitCanvas() {
  const {clientWidth: width, clientHeight: height} = $('fleet');
  const ratio = devicePixelRatio;
  const wide = Math.round(width * ratio), high = Math.round(height * ratio);
  if ($('fleet').width === wide && $('fleet').height === high) return ratio;
  for (const canvas of [$('land'), $('fleet')]) Object.assign(canvas, {width: wide, height: high});
  if (view.width !== width || view.height !== height) view.resize(width, height);
  stroke = true;
  return ratio;
}

function frame() {
  const ratio = fitCanvas();
  const now = Date.now();
  if (tracking && chosen) lookAt(chosen);
  if (stroke) country.draw(land, view, ratio, ink, fleet.regions);
  stroke = false;
  vehicles(above, view, ratio, ink, fleet, now, country, chosen, hovered);
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);

// ---- moving about

function under(x, y) {
  const now = Date.now();
  let best, near = (12 * size(view)) ** 2;
  for (const v of fleet.vehicles.values()) {
    const at = v.at(now);
    const [vx, vy] = view.toScreen(at.lon, at.lat);
    const far = (vx - x) ** 2 + (vy - y) ** 2;
    if (far < near) [best, near] = [v, far];
  }
  return best;
}

steer($('fleet'), view, {
  moved() { stroke = true; },
  took() { tracking = false; $('track').setAttribute('aria-pressed', false); },
  hover(x, y) {
    hovered = x === undefined ? undefined : under(x, y);
    $('fleet').classList.toggle('over', !!hovered);
  },
  tap: (x, y) => choose(under(x, y)),
  next(step) {
    const keys = [...fleet.vehicles.keys()].sort();
    const at = keys.indexOf(chosen?.key);
    const key = keys[(at + step + keys.length) % keys.length];
    if (key) choose(fleet.vehicles.get(key), {show: true});
  },
  release: () => choose(),
});
$('in').onclick = () => { view.zoomAt(view.width / 2, view.height / 2, 1.6); stroke = true; };
$('out').onclick = () => { view.zoomAt(view.width / 2, view.height / 2, 1 / 1.6); stroke = true; };
$('whole').onclick = () => { view.fit(); stroke = true; };
