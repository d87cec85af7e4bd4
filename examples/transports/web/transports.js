// transports.js: the figures of run.json, which `ringdown bench transports --json` has
// printed, as bars and as a table.

import {el, enter, userName} from '/demo/assets/page.js';

const $ = (id) => document.getElementById(id);
enter(userName());
const run = await (await fetch('/transports/run.json')).json();
const say = (n) => n.toLocaleString('en-GB', n < 1000 ? {maximumSignificantDigits: 3} : {maximumFractionDigits: 0});

const {processor, cores, system, go} = run.machine;
$('run').textContent = `${say(run.users)} users follow one channel on which an update of ${run.payload_bytes} bytes comes each second. Measured on ${run.date} with Ringdown ${run.version}: ` +
  `${processor}, ${cores} cores, ${system}, ${go}; ${run.rounds} × ${run.seconds} s of each way, client and server on one machine, no TLS. Hatched bars are computed from measured ones.`;

const charts = [
  ['Median delay, ms', 'From when an update was due until the user had it. The scale is logarithmic.', (w) => w.delay_p50_ms, Math.log1p],
  ['Server CPU, µs', 'For each update delivered to one user.', (w) => w.server_cpu_us_per_update, Number],
  ['Bytes', 'In both directions, as TCP carries them, for each update delivered to one user.', (w) => w.bytes_up_per_update + w.bytes_down_per_update, Number],
  ['Requests a second', 'Of all users together, once they follow.', (w) => w.requests_per_second, Number],
];
for (const [title, words, of, scale] of charts) {
  const most = Math.max(...run.ways.map((w) => scale(of(w))));
  $('charts').append(el('section', {className: 'panel chart'}, el('h2', {}, title), el('p', {}, words), el('ul', {}, ...run.ways.map((w) => {
    const bar = el('span', {className: 'bar', 'aria-hidden': 'true'});
    bar.style.setProperty('--share', scale(of(w)) / most);
    return el('li', {className: w.computed ? 'computed' : ''}, el('span', {}, w.name), bar, el('span', {className: 'value tally'}, say(of(w))));
  }))));
}

const columns = [
  ['Way', (w) => w.computed ? `${w.name}, computed` : w.name], ['Requests a second', (w) => say(w.requests_per_second)],
  ['Bytes up', (w) => say(w.bytes_up_per_update)], ['Bytes down', (w) => say(w.bytes_down_per_update)],
  ['CPU, % of a core', (w) => say(w.server_cpu_percent)], ['CPU, µs', (w) => say(w.server_cpu_us_per_update)],
  ['Delay p50, ms', (w) => say(w.delay_p50_ms)], ['Delay p99, ms', (w) => say(w.delay_p99_ms)],
  ['Missing', (w) => w.computed ? '–' : say(w.tally.missing)],
];
$('names').append(...columns.map(([name]) => el('th', {scope: 'col'}, name)));
$('rows').append(...run.ways.map((w) => el('tr', {}, ...columns.map(([, value]) => el('td', {className: 'tally'}, value(w))))));
