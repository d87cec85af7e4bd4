// game.js: the page. Ticks go to one's own player (own.js) and to the others (others.js);
// sixty times a second all of it is drawn (draw.js); twenty times a second one step is
// made, if a way is held (steer.js), and the server is told.

import {el, enter, face, inPlace, userName} from '/demo/assets/page.js';
import {Picture, title} from './draw.js';
import {Others} from './others.js';
import {Own} from './own.js';
import {Field, cell, distance, period} from './rules.js';
import {steer} from './steer.js';

const $ = (id) => document.getElementById(id);
const {user, client} = enter(userName(), {WebSocket}); // without the sparks: there would be twenty a second
const field = new Field(await (await fetch('/game/field.txt')).text());
const own = new Own(field), others = new Others();
const picture = new Picture($('field'), field);
const still = matchMedia('(prefers-reduced-motion: reduce)');
const meter = {ahead: 0, samples: []}; // in cells; samples are those of the last ticks during which the player walked
const silence = 5000; // ms after which the world lets go of who says nothing
let bells = [], ticks = 0, heard = 0;

export {client, field, meter, others, own};
export const scores = client.channel('game:scores').state;
export const reset = () => { own.worst = 0; meter.samples = []; }; // for who looks from outside

// ---- what the server says

client.channel('game:field').on('tick', (frame) => {
  const now = Date.now();
  ticks++;
  heard = now;
  const people = frame.players.filter((p) => p.user !== user && !p.user.startsWith('~'));
  const before = others.frames.at(-1);
  const pause = frame.world !== before?.world || frame.at - before.at > silence;
  others.hear(frame, now);
  if (own.hear(frame.players.find((p) => p.user === user), people, pause)) tell();
  for (const [x, y] of bells) if (!frame.bells.some((b) => b[0] === x && b[1] === y) && !still.matches) picture.rings.push({x, y, at: now});
  bells = frame.bells;
  measure();
});

function measure() {
  meter.ahead = own.ahead / cell;
  if (own.pending.length) meter.samples.push(meter.ahead);
  if (meter.samples.length > 200) meter.samples.shift();
}

// ---- what the server is told: steps as they are made, and once a second that one is there

const input = client.channel('game:input');
let told = 0;
function tell() {
  if (own.elsewhere) return;
  told = Date.now();
  input.publish('steps', own.input, {ack: false}).catch(() => {}); // with no line, the next one says it again
}
setInterval(() => Date.now() - told >= 900 && tell(), 1000);
client.on('state', ({state}) => state === 'live' && tell());
addEventListener('pagehide', () => input.publish('leave', {session: own.session}, {ack: false}).catch(() => {}));

const hands = steer($('field'), {look});
let last = performance.now(), since = 0, drawn = last;

function steps(now) {
  since = Math.min(since + now - last, 3 * period); // a page that slept does not run
  last = now;
  let made = false;
  for (; since >= period; since -= period) {
    const way = hands.way;
    if (way && own.walk(way)) made = true;
    else if (own.inside) own.rest();
  }
  if (made || own.pending.length && Date.now() - told >= 2 * period) tell();
  if (made) measure();
}

// ---- drawing

function draw(now) {
  requestAnimationFrame(draw);
  steps(now);
  const date = Date.now(), me = own.inside ? own.picture(since, now - drawn) : undefined;
  picture.begin(me);
  for (const [x, y] of bells) picture.bell(x, y);
  picture.ring(date);
  for (const p of others.at(date)) if (p.user !== user || !own.inside) picture.player(p);
  if (me) {
    if ($('ghost').checked) picture.ghost(own.server);
    picture.player({user, ...me}, true);
  }
  drawn = now;
}
requestAnimationFrame(draw);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => picture.mix());

// ---- around the field

function around() {
  const quiet = Date.now() - heard > 1500;
  const words = own.elsewhere ? 'You play in another window.'
    : quiet ? 'Nothing is heard of the field. It goes on by itself.'
    : own.inside ? '' : 'Going in. If the field is full, you watch.';
  $('veil').hidden = !words;
  $('here').hidden = !own.elsewhere;
  if ($('veil-words').textContent !== words) $('veil-words').textContent = words;
  $('pending').textContent = own.pending.length;
  $('ahead').textContent = meter.ahead.toFixed(1);
  $('corrected').textContent = (own.corrected / cell).toFixed(1);
}
setInterval(around, 200);
setInterval(() => { $('ticks').textContent = ticks; ticks = 0; }, 1000);
$('here').onclick = () => { own.again(); tell(); $('field').focus(); };

const ranked = () => [...scores].sort(([a, s], [b, t]) => t.bells - s.bells || (a < b ? -1 : 1));
function showScores() {
  const all = ranked(), mine = all.findIndex(([who]) => who === user);
  const rows = all.map(([who, {bells: n}], i) => ({who, n, rank: i + 1})).filter((r) => r.rank <= 8 || r.who === user);
  inPlace($('scores'), rows, (r) => r.who,
    (r) => el('li', {className: r.who === user ? 'me' : ''}, el('span', {className: 'rank'}), face(title(r.who)), el('span', {className: 'who'}, title(r.who)), r.who.startsWith('~') && el('span', {className: 'quiet'}, 'bot'), el('b')),
    (row, r) => {
      row.firstChild.textContent = `${r.rank}.`;
      row.lastChild.textContent = r.n;
    });
  if (mine >= 0) $('standing').textContent = `${all[mine][1].bells} ${all[mine][1].bells === 1 ? 'bell' : 'bells'}, rank ${mine + 1} of ${all.length}`;
}
scores.on(showScores);

// What a screen reader says: the score now and then, and the surroundings when asked.
let saidScore = '';
setInterval(() => {
  const now = $('standing').textContent;
  if (scores.has(user) && now !== saidScore) $('spoken').textContent = saidScore = now;
}, 10_000);

function look() {
  if (!own.inside) return void ($('spoken').textContent = 'You are not on the field.');
  const nearest = bells.map(([x, y]) => ({x, y})).sort((a, b) => distance(a, own.at) - distance(b, own.at))[0];
  const way = (n, more, less) => { const cells = Math.round(Math.abs(n) / cell); return cells ? `${cells} ${n > 0 ? more : less}` : ''; };
  const to = nearest && [way(nearest.x - own.at.x, 'right', 'left'), way(nearest.y - own.at.y, 'down', 'up')].filter(Boolean).join(' and ');
  const walls = [['above', 0, -1], ['below', 0, 1], ['on the left', -1, 0], ['on the right', 1, 0]]
    .filter(([, x, y]) => field.wall(Math.floor(own.at.x / cell) + x, Math.floor(own.at.y / cell) + y)).map(([words]) => words);
  $('spoken').textContent = `Column ${Math.floor(own.at.x / cell) + 1}, row ${Math.floor(own.at.y / cell) + 1}. The nearest bell is ${to || 'here'}.${walls.length ? ` A wall is ${walls.join(', ')}.` : ''} ${$('standing').textContent}`;
}
$('look').onclick = look;

const other = user === 'ben' ? 'ann' : 'ben';
$('second').href = `/game/?user=${other}`;
$('second').textContent = `A second player: ${other}`;
