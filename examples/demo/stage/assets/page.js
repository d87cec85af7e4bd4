// page.js: what every page of the demo has: a header, a name, a line to the server with
// its lamp, and a few ways to put things on the screen. Text from others only ever
// becomes text nodes.

import {Ringdown} from '/v1/client/all.js';
import {apps} from './apps.js';

const names = ['ann', 'ben', 'cleo', 'dora', 'emil', 'fay', 'gus', 'hana', 'ivo', 'june'];

// el('button', {className: 'pill', onclick: buy}, 'Buy') builds one element.
export function el(tag, properties = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === 'data') Object.assign(e.dataset, value);
    else if (name.includes('-') || name === 'role') e.setAttribute(name, value);
    else e[name] = value;
  }
  e.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return e;
}

export const money = (cents) => (cents / 100).toLocaleString('en-IE', {style: 'currency', currency: 'EUR'});
export const clock = (time) => new Date(time).toLocaleTimeString('en-GB', {hour: '2-digit', minute: '2-digit'});
export const randomId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, '0')).join('');

// A colour of one's own, from the name.
export function hue(name) {
  let h = 7;
  for (const c of name) h = (h * 31 + c.codePointAt(0)) % 360;
  return h;
}

export function face(name) {
  const e = el('span', {className: 'face', 'aria-hidden': 'true'}, name.slice(0, 1).toUpperCase());
  e.style.setProperty('--hue', hue(name));
  return e;
}

// The name is this tab's own, so that two windows can be two people; a new tab
// begins with the last one chosen.
export function userName() {
  const name = new URLSearchParams(location.search).get('user')
    ?? sessionStorage.getItem('user') ?? localStorage.getItem('user')
    ?? names[Math.floor(Math.random() * names.length)];
  remember(name);
  return name;
}

export function remember(name) {
  sessionStorage.setItem('user', name);
  localStorage.setItem('user', name);
}

const patience = 5_000; // ms for an answer by HTTP: over a dead connection it would be minutes

export async function tokenFor(user) {
  const answer = await fetch(`/demo/token?user=${encodeURIComponent(user)}`, {signal: AbortSignal.timeout(patience)});
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail), {fatal: answer.status === 400});
  return body.token;
}

// enter opens a line for user, says in the page's header how it is, and marks the
// page with it (data-line). What it returns has the client, and api(), which is fetch
// with the user's token.
export function enter(user, options = {}) {
  let token, fatal;
  const fresh = async (reason) => {
    // The demo's tokens are good for half a day; one that is not is refused, and asked for.
    if (reason === 'reconnect' && token) return token;
    const asked = token = tokenFor(user);
    try {
      return await asked;
    } catch (error) {
      if (token === asked) token = undefined; // ask again next time
      if (error.fatal) {
        fatal = error.message;
        setTimeout(() => client.close());
      }
      throw error;
    }
  };
  // Somebody looks at the page and waits, so the next attempt comes soon.
  const client = new Ringdown(location.origin, {token: fresh, WebSocket: Sparkling, backoffCap: 5_000, ...options});
  frame(user);
  indicate(client, () => fatal);
  client.on('error', (cause) => reportError(cause));
  client.connect().catch(() => {}); // the lamp says it

  async function api(path, {method = 'GET', body, headers} = {}, again = true) {
    const json = body !== undefined && !(body instanceof Blob);
    const answer = await fetch(path, {
      method,
      headers: {Authorization: `Bearer ${await (token ?? fresh())}`, ...(json && {'Content-Type': 'application/json'}), ...headers},
      body: json ? JSON.stringify(body) : body,
      signal: method === 'GET' ? AbortSignal.timeout(patience) : undefined, // what changes something may take its time
    });
    if (answer.status === 401 && again) { // the token has run out
      await fresh();
      return api(path, {method, body, headers}, false);
    }
    const reply = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(reply.detail), reply);
    return reply;
  }
  return {user, client, api};
}

// frame makes the header of the page, whose body says as data-app which app it is of.
export function frame(user) {
  const header = document.querySelector('header.top');
  const name = document.body.dataset.app;
  const app = apps.find((a) => a.name === name);
  const link = (href, text) => el('a', {href, ...(location.pathname === href && {'aria-current': 'page'})}, text);
  const places = el('details', {id: 'places'}, el('summary', {}, 'Gallery'),
    el('ul', {}, el('li', {}, link('/', 'All of it')), ...apps.map((a) => el('li', {}, link(a.pages[0][0], a.title)))));
  const nav = el('nav', {'aria-label': 'Pages'}, places, ...(app?.pages ?? []).map(([href, text]) => link(href, text)),
    app && link(`/demo/about/${app.name}`, 'How it works'));
  header.replaceChildren(el('a', {className: 'brand', href: '/', 'aria-label': 'Ringdown, the gallery'}, mark(), el('span', {}, 'Ringdown')), nav,
    ...(user === undefined ? [] : [el('details', {id: 'you'}), el('button', {id: 'line', type: 'button'})]),
    el('div', {className: 'wire', 'aria-hidden': 'true'}));
  folds(places);
  if (user !== undefined) showUser(user);
}

function mark() {
  const svg = (tag, attributes, ...children) => {
    const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
    e.append(...children);
    return e;
  };
  return svg('svg', {class: 'mark', viewBox: '0 0 32 32', 'aria-hidden': 'true'},
    svg('path', {d: 'M6 13C7 5.5 25 5.5 26 13', fill: 'none', stroke: 'currentColor', 'stroke-width': '4.2'}),
    svg('path', {d: 'M2.8 12h7.4v4a2 2 0 0 1-2 2H4.8a2 2 0 0 1-2-2zM21.8 12h7.4v4a2 2 0 0 1-2 2h-3.4a2 2 0 0 1-2-2z', fill: 'currentColor'}),
    svg('path', {d: 'M1 26h30', stroke: 'currentColor', 'stroke-width': '2', 'stroke-linecap': 'round'}),
    svg('circle', {class: 'dot', cx: '16', cy: '26', r: '3.6'}));
}

// folds closes a menu with Escape and with a click elsewhere.
function folds(details) {
  details.onkeydown = (event) => {
    if (event.key === 'Escape') { details.open = false; details.querySelector('summary').focus(); }
  };
  addEventListener('click', (event) => details.contains(event.target) || (details.open = false));
}

// What the lamp says of the states of a client.
const lamps = {idle: 'connecting', opening: 'connecting', authenticating: 'connecting', live: 'live', probing: 'live', closed: 'ended'};
const sayings = {
  connecting: () => 'Connecting',
  live: () => 'Live',
  waiting: (until) => `Back in ${Math.max(1, Math.ceil((until - Date.now()) / 1000))} s`,
  offline: () => 'Offline',
  ended: (_, why) => why || 'Line closed',
};

function indicate(client, fatal) {
  const lamp = document.querySelector('#line');
  const text = el('span');
  const spoken = el('span', {className: 'unseen', role: 'status'}); // without the seconds, which would be read out one by one
  let ticking;
  lamp.replaceChildren(el('i', {className: 'lamp'}), text);
  lamp.after(spoken);
  lamp.onclick = () => document.documentElement.dataset.line === 'waiting' && client.connect().catch(() => {});
  const tell = ({state, retryIn = 0, error}) => {
    const name = lamps[state] ?? (navigator.onLine ? 'waiting' : 'offline'), until = Date.now() + retryIn;
    document.documentElement.dataset.line = name;
    lamp.title = {waiting: 'The line is down. Click to try at once.', ended: 'Reload the page to try again.'}[name] ?? '';
    spoken.textContent = `The line is ${{waiting: 'down, trying again'}[name] ?? name}`;
    clearInterval(ticking);
    const say = () => text.textContent = sayings[name](until, fatal() ?? error?.message);
    say();
    if (name === 'waiting') ticking = setInterval(say, 250);
  };
  client.on('state', tell);
  tell({state: client.state});
}

// Every message is a spark that runs along the wire under the header.
const still = matchMedia('(prefers-reduced-motion: reduce)');
let sparks = 0;
function pulse(way) {
  const wire = document.querySelector('.wire');
  if (!wire || still.matches || document.hidden || sparks > 12) return;
  const spark = wire.appendChild(el('i', {className: `spark ${way}`}));
  const ends = [{left: '100%'}, {left: '-3rem'}];
  sparks++;
  spark.animate(way === 'in' ? ends : ends.reverse(), {duration: 700, easing: 'cubic-bezier(.5,0,.6,1)'})
    .finished.finally(() => { sparks--; spark.remove(); });
}

// Sparkling is the browser's WebSocket with a spark for each message.
class Sparkling extends WebSocket {
  constructor(...where) {
    super(...where);
    this.addEventListener('message', () => pulse('in'));
  }
  send(data) {
    pulse('out');
    super.send(data);
  }
}

function showUser(user) {
  const place = document.querySelector('#you');
  if (!place) return;
  const input = el('input', {name: 'user', value: user, maxLength: 32, required: true, autocomplete: 'off', spellcheck: false,
    pattern: '[A-Za-z0-9][A-Za-z0-9_.\\-]*', title: 'Letters, digits, - _ .'});
  const form = el('form', {}, el('label', {}, 'Be somebody else', input), el('button', {className: 'pill', type: 'submit'}, 'Switch'));
  place.replaceChildren(el('summary', {}, face(user), el('span', {className: 'name'}, user)), form);
  place.ontoggle = () => place.open && input.select();
  folds(place);
}

export function toast(text, kind = 'news') {
  let tray = document.querySelector('.tray');
  tray ??= document.body.appendChild(el('div', {className: 'tray', role: 'status', 'aria-live': 'polite'}));
  const note = el('p', {className: `toast ${kind}`}, text);
  tray.append(note);
  while (tray.children.length > 4) tray.firstChild.remove();
  setTimeout(() => note.remove(), kind === 'bad' ? 9000 : 6000);
}

// flash draws the eye to what has just changed.
export function flash(e) {
  if (!still.matches) e.animate([{backgroundColor: 'var(--glow)'}, {backgroundColor: 'transparent'}], {duration: 1600, easing: 'ease-out'});
}

// inPlace makes the children of parent be those for items, keyed, moving and
// rebuilding as little as possible, so that focus and scroll stay where they are.
export function inPlace(parent, items, key, build, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const k = String(key(item));
    const child = old.get(k) ?? build(item);
    child.dataset.key = k;
    old.delete(k);
    update(child, item);
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
  for (const gone of old.values()) gone.remove();
}
