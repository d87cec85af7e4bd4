// page.js: what every page of the demo has: a name, a line to the server with
// its indicator, and a few ways to put things on the screen. Text from others
// only ever becomes text nodes.

import {openLine} from './line.js';

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

export async function tokenFor(user) {
  const answer = await fetch(`/demo/token?user=${encodeURIComponent(user)}`);
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail), {fatal: answer.status === 400});
  return body.token;
}

// enter opens the line for user and shows it in the page's header. What it
// returns has the line and api(), which is fetch with the user's token.
export function enter(user) {
  let token;
  const fresh = () => {
    const asked = token = tokenFor(user);
    asked.catch(() => { if (token === asked) token = undefined; }); // ask again next time
    return asked;
  };
  const line = openLine(fresh, {traffic: pulse});
  line.watch(indicate(line));
  showUser(user);

  async function api(path, {method = 'GET', body, headers} = {}, again = true) {
    const json = body !== undefined && !(body instanceof Blob);
    const answer = await fetch(path, {
      method,
      headers: {Authorization: `Bearer ${await (token ?? fresh())}`, ...(json && {'Content-Type': 'application/json'}), ...headers},
      body: json ? JSON.stringify(body) : body,
    });
    if (answer.status === 401 && again) { // the token has run out
      await fresh();
      return api(path, {method, body, headers}, false);
    }
    const reply = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(reply.detail), reply);
    return reply;
  }
  return {user, line, api};
}

const sayings = {
  connecting: () => 'Connecting',
  live: () => 'Live',
  waiting: (s) => `Back in ${Math.max(1, Math.ceil((s.until - Date.now()) / 1000))} s`,
  offline: () => 'Offline',
  ended: (s) => s.reason || 'Line closed',
};

function indicate(line) {
  const lamp = document.querySelector('#line');
  const text = el('span');
  const spoken = el('span', {className: 'unseen', role: 'status'}); // without the seconds, which would be read out one by one
  let ticking;
  lamp.replaceChildren(el('i', {className: 'lamp'}), text);
  lamp.after(spoken);
  lamp.onclick = () => line.hurry();
  return (state) => {
    document.documentElement.dataset.line = state.name;
    lamp.title = {waiting: 'The line is down. Click to try at once.', ended: 'Reload the page to try again.'}[state.name] ?? '';
    spoken.textContent = `The line is ${{waiting: 'down, trying again'}[state.name] ?? state.name}`;
    clearInterval(ticking);
    const say = () => text.textContent = sayings[state.name](state);
    say();
    if (state.name === 'waiting') ticking = setInterval(say, 250);
  };
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

function showUser(user) {
  const place = document.querySelector('#you');
  if (!place) return;
  const input = el('input', {name: 'user', value: user, maxLength: 32, required: true, autocomplete: 'off', spellcheck: false,
    pattern: '[A-Za-z0-9][A-Za-z0-9_.\\-]*', title: 'Letters, digits, - _ .'});
  const form = el('form', {}, el('label', {}, 'Be somebody else', input), el('button', {className: 'pill', type: 'submit'}, 'Switch'));
  place.replaceChildren(el('summary', {}, face(user), el('span', {className: 'name'}, user)), form);
  place.ontoggle = () => place.open && input.select();
  place.onkeydown = (event) => {
    if (event.key === 'Escape') { place.open = false; place.querySelector('summary').focus(); }
  };
  addEventListener('click', (event) => place.contains(event.target) || (place.open = false));
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
